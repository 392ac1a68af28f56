"""Consistent hashing: how even shares are, and what a further node moves.

The points of n nodes, v each, are n v uniform places on a circle; the shares of the circle between
them are Dirichlet distributed, so that a node's is Beta(v, (n - 1) v): of mean 1 / n and
coefficient of variation sqrt((n - 1) / (n v + 1)).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import scalesim as ss
from scalesim.policies.hash_ring import hash_ring, node_of
from scalesim.policies.sharding import ConsistentHashSharding


def shares(nodes: int, points: int) -> np.ndarray:
    """Return each node's share of the circle, from the places themselves."""
    ring = np.asarray(hash_ring([points] * nodes)[1:])
    places, owners = ring[: nodes * points], ring[nodes * points :].astype(int)
    before = np.append(places[-1] - 1.0, places[:-1])
    return np.bincount(owners, places - before, nodes)


@pytest.mark.parametrize("points", [1, 16, 160])
def test_shares_of_the_circle(points) -> None:
    nodes = 1000
    found = shares(nodes, points)
    assert found.sum() == pytest.approx(1.0)
    assert stats.kstest(found, stats.beta(points, (nodes - 1) * points).cdf).pvalue > 0.01
    variation = math.sqrt((nodes - 1) / (nodes * points + 1))
    assert found.std() * nodes == pytest.approx(variation, rel=0.1)
    if points > 1:
        assert variation == pytest.approx(1 / math.sqrt(points), rel=0.01)


@pytest.mark.parametrize("points", [64, 160])
def test_a_further_node_takes_its_share_from_all_others_and_moves_nothing_else(points) -> None:
    nodes, keys = 10, range(40_000)
    before = hash_ring([points] * nodes)
    after = hash_ring([points] * (nodes + 1))
    old = np.asarray([node_of(before, 0, key) for key in keys])
    new = np.asarray([node_of(after, 0, key) for key in keys])
    moved = old != new
    assert set(new[moved]) == {nodes}
    assert set(old[moved]) == set(range(nodes))
    share = shares(nodes + 1, points)[nodes]
    assert moved.mean() == pytest.approx(share, abs=4 * math.sqrt(share / len(keys)))
    spread = math.sqrt(nodes / ((nodes + 1) * points + 1)) / (nodes + 1)
    assert share == pytest.approx(1 / (nodes + 1), abs=3 * spread)


def test_rate_of_each_shard_is_its_share_of_the_circle() -> None:
    nodes, points, requests = 8, 4, 200_000
    store = ss.Database(
        "db",
        connections=1000,
        read=1e-6,
        shards=nodes,
        sharding=ConsistentHashSharding(virtual_nodes=points),
    )
    traffic = ss.Traffic(1000.0, mix={"read": 1, "write": 0}, keys=ss.UniformKeys(10**6))
    results = ss.simulate(ss.Topology(store, entry="db"), traffic, duration=requests / 1000, seed=3)
    labels = results.plan.station_labels
    rows = [s for s, x in enumerate(labels) if x.resource == "connections"]
    arrived = np.asarray(results.station["arrived"][rows])
    expected = shares(nodes, points) * arrived.sum()
    assert stats.chisquare(arrived, expected).pvalue > 0.01
