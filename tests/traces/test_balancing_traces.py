"""Load balancers: which target each request gets, policy by policy."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, near, one_by_one, outcomes, run

import scalesim as ss
from scalesim.kernels.draws import hash_below
from scalesim.policies.load_balancing import ConsistentHash, PowerOfTwo

AT, SERVICES = [0, 1, 2.2, 3.5, 4.1, 5.6, 6.3], [5, 1, 4, 1, 2, 1, 3]


def pool(policy, *, holds: float, targets: int = 3, **fields):
    """Return a balancer over services t0, t1, ... where t_i answers after `holds` + i / 100 s."""
    names = [f"t{i}" for i in range(targets)]
    services = [
        ss.Service(name, workers=99, endpoints={"get": [ss.sleep(holds + i / 100)]})
        for i, name in enumerate(names)
    ]
    return ss.LoadBalancer("edge", targets=names, policy=policy, **fields), *services


def chosen(results, holds: float) -> list[int]:
    """Return the number of each request's target, read off its latency."""
    times = results.attempts_table()["latency_s"] - holds
    return [round(100 * each) for each in times]


@both_engines
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("round_robin", [5, 2, 9, 4.5, 11, 6.6, 14]),
        ("least_connections", [5, 2, 6.2, 6, 8.2, 7, 11.2]),
    ],
)
def test_round_robin_and_least_connections(engine, policy, expected) -> None:
    server, names = one_by_one(SERVICES, instances=2)
    edge = ss.LoadBalancer("edge", targets="server", policy=policy)
    assert ends(run(engine, edge, server, at=AT, endpoint=names)) == near(expected)


@both_engines
def test_weighted_round_robin_is_smooth(engine) -> None:
    parts = pool("round_robin", holds=0.0, targets=2, weights={"t0": 2.0, "t1": 1.0})
    assert chosen(run(engine, *parts, at=range(9)), 0.0) == [0, 1, 0] * 3


@both_engines
def test_weights_of_instances(engine) -> None:
    server = ss.Service("server", instances=3, workers=99, endpoints={"get": [ss.sleep(1.0)]})
    edge = ss.LoadBalancer("edge", targets="server", weights={"server": (5.0, 1.0, 1.0)})
    results = run(engine, edge, server, at=range(14))
    assert instances(results, "server", "workers", "served") == [10, 2, 2]


@both_engines
def test_least_connections_breaks_ties_from_the_cursor(engine) -> None:
    # Everybody is idle again before each arrival: the turn goes round all the same.
    idle = pool("least_connections", holds=0.1)
    assert chosen(run(engine, *idle, at=range(7)), 0.1) == [0, 1, 2, 0, 1, 2, 0]
    busy = pool("least_connections", holds=50.0)
    assert chosen(run(engine, *busy, at=range(7)), 50.0) == [0, 1, 2, 0, 1, 2, 0]


@both_engines
def test_weighted_least_connections_compares_requests_for_a_weight(engine) -> None:
    parts = pool("least_connections", holds=50.0, targets=2, weights={"t0": 3.0, "t1": 1.0})
    # In flight / weight before each choice; equal values go to the one at the cursor.
    assert chosen(run(engine, *parts, at=range(9)), 50.0) == [0, 1, 0, 0, 1, 0, 0, 0, 1]


@both_engines
def test_least_connections_counts_until_the_target_ends(engine) -> None:
    # t0 is busy until 10 with a request that waits inside it for others.
    slow = ss.Service("t0", workers=9, endpoints={"get": [ss.call("back")]})
    back = ss.Service("back", endpoints={"do": [ss.sleep(10.0)]})
    fast = ss.Service("t1", workers=9, endpoints={"get": [ss.sleep(0.25)]})
    edge = ss.LoadBalancer("edge", targets=("t0", "t1"), policy="least_connections")
    results = run(engine, edge, slow, fast, back, at=[0, 1, 2, 3, 9.5, 10])
    # At 10 both are idle (the departure comes first) and the cursor stands at t0.
    assert ends(results) == [10.0, 1.25, 2.25, 3.25, 9.75, 20.0]


def splitmix(client: int, count: int) -> int:
    """Return the target of a client: SplitMix64's first output for seed `client`, modulo."""
    mask = 2**64 - 1
    z = (client + 1) * 0x9E3779B97F4A7C15 & mask
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return (z ^ (z >> 31)) % count


@both_engines
def test_ip_hash_sends_a_client_to_one_target(engine) -> None:
    clients = [7, 3, 7, 12, 3, 7, 12, 0, 0, 1, 2, 4, 5, 6]
    parts = pool("ip_hash", holds=0.0)
    for seed in (1, 2):
        results = run(engine, *parts, at=range(len(clients)), client=tuple(clients), seed=seed)
        assert chosen(results, 0.0) == [splitmix(client, 3) for client in clients]


@both_engines
def test_power_of_two_takes_the_less_busy_of_its_draws(engine) -> None:
    # 64 draws from two targets miss one of them with probability 2 ** -63.
    parts = pool(PowerOfTwo(choices=64), holds=50.0, targets=2)
    picks = chosen(run(engine, *parts, at=range(10)), 50.0)
    assert all({picks[i], picks[i + 1]} == {0, 1} for i in range(0, 10, 2))


@both_engines
@pytest.mark.parametrize("choices", [3, 64])
def test_without_replacement_all_targets_may_be_drawn(engine, choices) -> None:
    parts = pool(PowerOfTwo(choices=choices, distinct=True), holds=50.0, targets=3)
    targets = chosen(run(engine, *parts, at=range(9)), 50.0)
    assert [sorted(targets[i : i + 3]) for i in (0, 3, 6)] == [[0, 1, 2]] * 3
    assert len({tuple(targets[i : i + 3]) for i in (0, 3, 6)}) > 1  # ties: the first that is drawn


@pytest.mark.parametrize("policy", ["random", "power_of_two"])
def test_random_policies_repeat_with_the_seed(policy) -> None:
    parts = pool(policy, holds=0.1, targets=5)

    def picks(engine: str, seed: int) -> list[int]:
        return chosen(run(engine, *parts, at=range(60), seed=seed), 0.1)

    first = picks("compiled", 1)
    assert first == picks("compiled", 1) == picks("reference", 1)
    assert first != picks("compiled", 2)
    assert set(first) == {0, 1, 2, 3, 4}


@both_engines
def test_random_never_meets_a_target_of_negligible_weight(engine) -> None:
    parts = pool("random", holds=0.0, targets=2, weights={"t0": 1e-6, "t1": 1e6})
    assert chosen(run(engine, *parts, at=range(200)), 0.0) == [1] * 200


@both_engines
def test_balancers_in_front_of_balancers(engine) -> None:
    left = ss.LoadBalancer("left", targets=("t0", "t1"))
    right = ss.LoadBalancer("right", targets="t2")
    edge = ss.LoadBalancer("edge", targets=("left", "right"))
    _, *services = pool("round_robin", holds=0.0)
    results = run(engine, edge, left, right, *services, at=range(8))
    assert chosen(results, 0.0) == [0, 2, 1, 2, 0, 2, 1, 2]


@both_engines
def test_forwarding_takes_its_time(engine) -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(1.0)]})
    edge = ss.LoadBalancer("edge", targets="server", delay=0.5)
    assert ends(run(engine, edge, server, at=[0, 0])) == [1.5, 2.5]


@both_engines
def test_a_rejected_request_no_longer_counts(engine) -> None:
    # Two slots in all, no waiting: while both are taken requests are refused in turn.
    server = ss.Service("server", instances=2, backlog=0, endpoints={"get": [ss.sleep(4.0)]})
    edge = ss.LoadBalancer("edge", targets="server", policy="least_connections")
    results = run(engine, edge, server, at=[0, 1, 2, 3, 4.5, 5.5])
    assert [outcome for _, outcome in outcomes(results)] == [
        "completed", "completed", "rejected", "rejected", "completed", "completed",
    ]  # fmt: skip


def home(number: int, nodes: int, points: int) -> int:
    """Return the node of the first point clockwise, looking at every point."""

    def place(of: int) -> float:
        return hash_below(of, 2**52)

    def ahead(node: int, point: int) -> float:
        return (place((node + 1) * 2**40 + point) - place(number)) % 2**52

    return min(range(nodes), key=lambda node: min(ahead(node, j) for j in range(points)))


@both_engines
@pytest.mark.parametrize("by", ["client", "key"])
def test_consistent_hash_sends_a_value_to_the_next_point(engine, by) -> None:
    values = tuple(range(40))
    policy = ConsistentHash(by=by, virtual_nodes=3)
    other = {"client": "key", "key": "client"}[by]
    traffic = {by: values, other: (0,) * 40}
    results = run(engine, *pool(policy, holds=0.0, targets=5), at=range(40), **traffic)
    targets = chosen(results, 0.0)
    assert targets == [home(value, 5, 3) for value in values]
    assert len(set(targets)) == 5


@both_engines
def test_points_of_a_target_are_in_proportion_to_its_weight(engine) -> None:
    policy, weights = ConsistentHash(virtual_nodes=2), {"t0": 2.0, "t1": 0.1}
    parts = pool(policy, holds=0.0, targets=2, weights=weights)
    results = run(engine, *parts, at=range(40), client=tuple(range(40)))
    # Four points and one: those of a target of weight 1 would be two.
    places = [(hash_below(2**40 + j, 2**52), 0) for j in range(4)]
    places = sorted([*places, (hash_below(2 * 2**40, 2**52), 1)])
    for client, target in enumerate(chosen(results, 0.0)):
        later = [owner for at, owner in places if at >= hash_below(client, 2**52)]
        assert target == (later or [places[0][1]])[0]
