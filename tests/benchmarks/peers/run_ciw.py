"""The three models in Ciw: networks of nodes. Model c needs node classes of its own."""

from __future__ import annotations

import ciw
import peer


def prepare(model: str, requests: int, seed: int) -> peer.Run:
    ciw.seed(seed)
    if model == "c":
        classes = [*[Web] * 4, Database]
        simulation = ciw.Simulation(shop(), arrival_node_class=RoundRobin, node_class=classes)
    else:
        simulation = ciw.Simulation(queue(model))

    def run() -> tuple[int, float]:
        simulation.simulate_until_max_customers(requests, method="Finish")
        visits = [individual.data_records for individual in simulation.nodes[-1].all_individuals]
        total = sum(records[-1].exit_date - records[0].arrival_date for records in visits)
        return len(visits), total / len(visits)

    return run


def queue(model: str) -> ciw.network.Network:
    return ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=peer.RATE[model])],
        service_distributions=[ciw.dists.Exponential(rate=1.0)],
        number_of_servers=[{"a": 1, "b": 8}[model]],
    )


def shop() -> ciw.network.Network:
    """Nodes 1 to 4 are the servers, 5 is the database."""
    hit_or_miss = [ciw.routing.Probabilistic(destinations=[5], probs=[0.5]) for _ in range(4)]
    return ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=peer.RATE["c"])] + [None] * 4,
        service_distributions=[
            *[ciw.dists.Exponential(rate=1 / 0.005)] * 4,
            ciw.dists.Exponential(rate=1 / 0.010),
        ],
        number_of_servers=[4, 4, 4, 4, 8],
        routing=ciw.routing.NetworkRouting(routers=[*hit_or_miss, ciw.routing.Leave()]),
    )


class RoundRobin(ciw.ArrivalNode):
    """Deals the individuals out: a routing of Ciw's own would need a node, and an event, for it."""

    def release_individual(self, next_node, next_individual):
        turn = self.number_of_individuals % 4
        super().release_individual(self.simulation.transitive_nodes[turn], next_individual)


class Web(ciw.Node):
    """Keeps its server busy for an individual that goes on to the database."""

    def release(self, next_individual, next_node, reroute=False):
        if not isinstance(next_node, Database):
            super().release(next_individual, next_node, reroute)
            return
        self.individuals[next_individual.prev_priority_class].remove(next_individual)
        self.number_of_individuals -= 1
        self.number_in_service -= 1
        next_individual.exit_date = self.now
        self.write_individual_record(next_individual)
        next_individual.held = (self, next_individual.server)
        next_individual.server = False
        self.reset_individual_attributes(next_individual)
        next_node.accept(next_individual)


class Database(ciw.Node):
    """Frees the server that was held meanwhile."""

    def release(self, next_individual, next_node, reroute=False):
        super().release(next_individual, next_node, reroute)
        web, server = next_individual.held
        server.busy = False
        web.begin_service_if_possible_release(next_individual, server)


if __name__ == "__main__":
    peer.main("ciw", prepare)
