"""Cache: hit or miss, lookup by lookup."""

from __future__ import annotations

from dataclasses import replace

import pytest
from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss
from scalesim.components import cached as cached_step
from scalesim.policies.eviction import Clock, Lfu, SampledLru

KEYS = [ord(c) - ord("A") for c in "ABCADAEBACFABEADCA"]
HITS = {
    "lru": [0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1],
    "fifo": [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0],
}
HITS |= dict.fromkeys(("lfu", "clock", "sieve"), HITS["lru"])


def cached(workers: int = 99, origin: float = 0.5, **fields):
    """Return a service with endpoints get, set and delete, its cache, and an origin [s]."""
    web = ss.Service(
        "web",
        workers=workers,
        cores=workers,
        endpoints={each: [ss.call(f"cache.{each}")] for each in ("get", "set", "delete")},
    )
    cache = ss.Cache("cache", origin="store", **fields)
    return web, cache, ss.Service("store", workers=99, endpoints={"load": [ss.sleep(origin)]})


def hits(results) -> list[int]:
    """Return 1 for each request that took no time, in order of arrival."""
    return [int(each) for each in results.attempts_table()["latency_s"] == 0.0]


def look(engine, keys, at=None, what="get", **fields):
    """Return the results of one operation after another on a cache."""
    what = (what,) * len(keys) if isinstance(what, str) else tuple(what)
    at = range(0, 2 * len(keys), 2) if at is None else at
    return run(engine, *cached(**fields), at=at, key=tuple(keys), endpoint=what)


@both_engines
@pytest.mark.parametrize("eviction", HITS)
def test_eighteen_lookups(engine, eviction) -> None:
    results = look(engine, KEYS, capacity=3, eviction=eviction)
    assert hits(results) == HITS[eviction]
    count = sum(HITS[eviction])
    assert metric(results, "cache", "hit_ratio") == count / 18
    assert metric(results, "cache", "lookups") == 18
    assert metric(results, "cache", "evictions") == 18 - count - 3


@both_engines
@pytest.mark.parametrize("eviction", ["lru", "fifo"])
def test_a_scan_longer_than_the_cache_never_hits(engine, eviction) -> None:
    around = list(range(11)) * 5
    assert sum(hits(look(engine, around, capacity=10, eviction=eviction))) == 0
    fits = list(range(10)) * 5
    assert hits(look(engine, fits, capacity=10, eviction=eviction)) == [0] * 10 + [1] * 40


@both_engines
def test_random_eviction_keeps_the_cache_full(engine) -> None:
    results = look(engine, [0, 1, 0, 0, 1, 1, 0], capacity=1, eviction="random")
    assert hits(results) == [0, 0, 0, 1, 0, 1, 0]
    results = look(engine, list(range(5)) * 4, capacity=4, eviction="random")
    misses = 20 - sum(hits(results))
    assert metric(results, "cache", "evictions") == misses - 4


@both_engines
def test_time_to_live_counts_from_the_store(engine) -> None:
    at = [0, 3, 9.5, 10.5, 14, 21, 24, 40]
    results = look(engine, [0] * 8, at, capacity=1, ttl=10.0, origin=0.25)
    # Stored at 0.25, 10.75, 21.25, 40.25.
    assert hits(results) == [0, 1, 1, 0, 1, 0, 1, 0]


@both_engines
def test_an_entry_has_expired_at_exactly_its_age(engine) -> None:
    assert hits(look(engine, [0] * 3, [0, 10, 10.5], capacity=1, ttl=10.0, origin=0.5)) == [0, 1, 0]


@both_engines
def test_an_expired_entry_takes_room_until_it_goes(engine) -> None:
    # Key 0 has expired at 20; 1 and 2 come in: LRU throws 0 out first, then 1 is still there.
    results = look(engine, [0, 1, 2, 1], [0, 20, 21, 22], capacity=2, ttl=10.0)
    assert hits(results) == [0, 0, 0, 1]
    assert metric(results, "cache", "evictions") == 1


@both_engines
def test_set_and_delete(engine) -> None:
    what = ["get", "get", "delete", "get", "set", "get", "delete", "delete", "set", "get"]
    results = look(engine, [5] * 10, what=what, capacity=2)
    #       miss hit  -  miss  -  hit -  -  -  hit
    assert hits(results) == [0, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert metric(results, "cache", "lookups") == 5
    assert metric(results, "cache", "hit_ratio") == 0.6
    assert instances(results, "store", "workers", "served") == [2]


@both_engines
def test_set_renews_the_time_to_live_and_the_place(engine) -> None:
    what = ["set", "set", "get", "get"]
    results = look(engine, [0] * 4, [0, 6, 15, 16], what, capacity=1, ttl=10.0)
    assert hits(results) == [1, 1, 1, 0]  # valid from 6 to 16
    what = ["set", "set", "set", "set", "get", "get"]
    results = look(engine, [0, 1, 0, 2, 0, 1], what=what, capacity=2)
    assert hits(results)[4:] == [1, 0]  # 2 pushed 1 out


@both_engines
def test_deleting_makes_room(engine) -> None:
    what = ["set", "set", "delete", "set", "get", "get", "get"]
    results = look(engine, [0, 1, 0, 2, 1, 2, 0], what=what, capacity=2)
    assert hits(results)[4:] == [1, 1, 0]
    assert metric(results, "cache", "evictions") == 1  # by the last miss


@both_engines
@pytest.mark.parametrize(("ratio", "hit"), [(0.0, 0), (1.0, 1)])
def test_fixed_ratio_at_its_ends(engine, ratio, hit) -> None:
    what = ["get"] * 50 + ["set"]
    results = look(engine, [0] * 51, what=what, hit_ratio=ratio)
    assert hits(results) == [hit] * 50 + [1]
    assert metric(results, "cache", "hit_ratio") == ratio


@both_engines
def test_misses_at_the_same_time_all_go_to_the_origin(engine) -> None:
    results = look(engine, [0, 0, 0, 0], [0, 0.25, 0.5, 0.75], capacity=1, origin=0.5)
    # At 0.5 the fetch has just ended: the departure comes before the arrival.
    assert ends(results) == [0.5, 0.75, 0.5, 0.75]
    assert hits(results) == [0, 0, 1, 1]


@both_engines
def test_a_failed_fetch_stores_nothing(engine) -> None:
    web, cache, _ = cached(capacity=5)
    store = ss.Service("store", backlog=0, endpoints={"load": [ss.sleep(1.0)]})
    results = run(
        engine, web, cache, store, at=[0, 0.5, 2, 3, 4], key=(0, 1, 1, 0, 1), endpoint=("get",) * 5
    )
    assert outcomes(results) == [
        (1.0, "completed"),
        (0.5, "rejected"),
        (3.0, "completed"),
        (3.0, "completed"),
        (4.0, "completed"),
    ]


@both_engines
def test_operations_queue_for_the_slots(engine) -> None:
    fields = {"capacity": 5, "delay": 0.25, "concurrency": 1, "origin": 2.0}
    results = look(engine, [0, 1, 0], [0, 0, 3], **fields)
    assert ends(results) == near([2.25, 2.5, 3.25])
    assert instances(results, "cache", "slots", "waited") == near([0.25])


@both_engines
def test_without_an_origin_a_miss_is_just_recorded(engine) -> None:
    web = ss.Service("web", workers=9, cores=9, endpoints={"get": [ss.call("cache.get")]})
    cache = ss.Cache("cache", capacity=2, delay=0.5)
    results = run(engine, web, cache, at=[0, 1, 2], key=(0, 0, 1))
    assert ends(results) == [0.5, 1.5, 2.5]
    assert metric(results, "cache", "hit_ratio") == 1 / 3


@both_engines
def test_one_cache_behind_another(engine) -> None:
    web = ss.Service("web", workers=9, cores=9, endpoints={"get": [ss.call("edge.get")]})
    edge = ss.Cache("edge", capacity=1, origin="shield.get")
    shield = ss.Cache("shield", capacity=2, origin="store")
    store = ss.Service("store", workers=9, endpoints={"load": [ss.sleep(0.5)]})
    keys = (0, 1, 0, 1, 1, 2, 0)
    results = run(engine, web, edge, shield, store, at=range(7), key=keys)
    #       both miss, both miss, shield hits, shield hits, edge hits, both miss (0 goes: 1 was
    #       used last), both miss
    assert hits(results) == [0, 0, 1, 1, 1, 0, 0]
    assert metric(results, "edge", "hit_ratio") == 1 / 7
    assert metric(results, "shield", "hit_ratio") == 2 / 6


# How the eighteen lookups go is in HITS; here, what the options change -----------------------


@both_engines
def test_clock_spares_a_new_entry_whose_bit_is_set(engine) -> None:
    keys = [0, 1, 2, 0, 3, 0]
    # Bits clear: 0's is set by the hit, so the hand passes it and takes 1.
    assert hits(look(engine, keys, capacity=3, eviction=Clock())) == [0, 0, 0, 1, 0, 1]
    # All bits set: the hand clears all three and comes back to 0, the oldest.
    bit = Clock(reference_bit=1)
    assert hits(look(engine, keys, capacity=3, eviction=bit)) == [0, 0, 0, 1, 0, 0]


@both_engines
def test_the_hand_of_sieve_stays_where_it_stopped(engine) -> None:
    # Full at 2 1 0 (newest first), 0 and 1 were hit. 3 comes: the hand clears 0 and 1, takes 2 and
    # stands past it, at the head: the next round begins at the tail. 4 takes 0 and the hand is at
    # 1; 5 takes 1. 3 and 4 are left.
    keys = [0, 1, 2, 0, 1, 3, 4, 5, 3, 4, 0]
    results = look(engine, keys, capacity=3, eviction="sieve")
    assert hits(results) == [0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0]


@both_engines
def test_deleting_what_the_hand_of_sieve_points_at(engine) -> None:
    # As before up to 4, which took 0: the hand is at 1. Deleting 1 moves it on to 3; 5 has room.
    # 6 then takes 3 and not 4.
    keys = [0, 1, 2, 0, 1, 3, 4, 1, 5, 6, 4, 5, 3]
    what = ["get"] * 7 + ["delete"] + ["get"] * 5
    results = look(engine, keys, what=what, capacity=3, eviction="sieve")
    assert hits(results)[8:] == [0, 0, 1, 1, 0]


@both_engines
def test_lfu_may_keep_the_counts_of_what_it_evicts(engine) -> None:
    # Twice 0, three times 1; 2 takes 0. When 0 is back, taking 2 whose count is 1, ...
    keys = [0, 0, 1, 1, 1, 2, 0, 2, 0]
    # ... its count starts at 1 again and 2, as rare but more recent, takes it.
    assert hits(look(engine, keys, capacity=2, eviction=Lfu())) == [0, 1, 0, 1, 1, 0, 0, 0, 0]
    # ... its count is 3 now, as is that of 1, which was used less recently; 2 takes 1.
    kept = Lfu(keep_counts=True)
    assert hits(look(engine, keys, capacity=2, eviction=kept)) == [0, 1, 0, 1, 1, 0, 0, 0, 1]


@both_engines
def test_sampling_every_entry_is_lru(engine) -> None:
    results = look(engine, KEYS, capacity=3, eviction=SampledLru(samples=64))
    assert hits(results) == HITS["lru"]
    # Of one sample it is random: the newest may go, too.
    results = look(engine, list(range(5)) * 4, capacity=4, eviction=SampledLru(samples=1))
    assert metric(results, "cache", "evictions") == 20 - sum(hits(results)) - 4


@both_engines
def test_time_to_idle_is_renewed_by_hits(engine) -> None:
    at = [0, 3, 9.5, 10.5, 14, 21, 24, 40]
    results = look(engine, [0] * 8, at, capacity=1, time_to_idle=10.0, origin=0.25)
    assert hits(results) == [0, 1, 1, 1, 1, 1, 1, 0]


@both_engines
def test_a_cache_without_a_bound_evicts_nothing(engine) -> None:
    results = look(engine, list(range(50)) * 2)
    assert hits(results) == [0] * 50 + [1] * 50
    assert metric(results, "cache", "evictions") == 0


@both_engines
def test_a_warm_cache_holds_the_most_popular_keys(engine) -> None:
    results = look(engine, [0, 1, 2, 3, 1, 2, 0], capacity=3, start="warm")
    # 3 takes the least popular, 2; then 2 takes 0: 1 has been used since.
    assert hits(results) == [1, 1, 1, 0, 1, 1, 0]
    assert metric(results, "cache", "evictions") == 2


@both_engines
def test_coalesced_misses_wait_for_the_fetch(engine) -> None:
    at = [0, 0.125, 0.25, 0.25, 0.5, 0.75]
    keys = [0, 0, 0, 1, 0, 1]
    results = look(engine, keys, at, coalesce=True, origin=0.5)
    assert ends(results) == [0.5, 0.5, 0.5, 0.75, 0.5, 0.75]
    assert metric(results, "cache", "coalesced") == 2
    assert metric(results, "cache", "hit_ratio") == 2 / 6
    assert instances(results, "store", "workers", "served") == [2]


@both_engines
def test_a_fetch_that_fails_fails_all_who_wait_for_it(engine) -> None:
    web, cache, _ = cached(capacity=5, coalesce=True)
    busy = ss.Service("busy", workers=9, endpoints={"load": [ss.sleep(0.5), ss.call("store")]})
    cache = replace(cache, origin="busy.load")
    store = ss.Service("store", backlog=0, endpoints={"load": [ss.sleep(2.0)]})
    at, key = [0, 0.25, 0.5, 3, 3.5], (0, 1, 1, 1, 1)
    results = run(engine, web, cache, busy, store, at=at, key=key, endpoint=("get",) * 5)
    # Key 1's fetch is rejected at 0.75; the next fetch, begun at 3, is a new one.
    assert outcomes(results) == [
        (2.5, "completed"),
        (0.75, "rejected"),
        (0.75, "rejected"),
        (5.5, "completed"),
        (5.5, "completed"),
    ]
    assert metric(results, "cache", "coalesced") == 2


@both_engines
@pytest.mark.parametrize(("placement", "expected"), [("shared", 2), ("in_process", 4)])
def test_an_in_process_cache_is_one_for_each_instance(engine, placement, expected) -> None:
    web, cache, store = cached(capacity=5, placement=placement, delay=0.25, concurrency=1)
    web = replace(web, instances=2)
    # Round robin: instances 0 1 0 1 0 1.
    keys = (0, 0, 0, 1, 1, 1)
    edge = ss.LoadBalancer("edge", targets="web")
    results = run(engine, edge, web, cache, store, at=range(6), key=keys, endpoint=("get",) * 6)
    assert instances(results, "store", "workers", "served") == [expected]
    assert metric(results, "cache", "lookups") == 6
    assert metric(results, "cache", "hit_ratio") == (6 - expected) / 6
    each = [6] if placement == "shared" else [3, 3]
    assert instances(results, "cache", "slots", "served") == each


@both_engines
def test_two_in_process_caches_one_behind_the_other(engine) -> None:
    # The call with a time-out and the one in a branch find their instance's own cache, too.
    steps = [ss.parallel([ss.call("near.get", timeout=9.0)]), ss.parallel([ss.call("near.get")])]
    web = ss.Service("web", instances=2, workers=9, cores=9, endpoints={"get": steps})
    near = ss.Cache("near", capacity=1, placement="in_process", origin="far.get")
    far = ss.Cache("far", capacity=9, placement="in_process", origin="store")
    store = ss.Service("store", workers=9, endpoints={"load": [ss.sleep(0.5)]})
    edge = ss.LoadBalancer("edge", targets="web")
    keys = (0, 0, 1, 1, 0, 1)
    results = run(engine, edge, web, near, far, store, at=range(6), key=keys)
    assert hits(results) == [0, 0, 0, 0, 1, 1]
    assert metric(results, "near", "hit_ratio") == 7 / 12  # each second call; and the last first
    assert metric(results, "far", "hit_ratio") == 1 / 5


@both_engines
def test_hit_ratios_by_key(engine) -> None:
    web, cache, store = cached(capacity=3)
    traffic = ss.ReplayTraffic(
        tuple(map(float, range(18))), key=tuple(KEYS), endpoint=("get",) * 18
    )
    results = ss.simulate(
        ss.Topology(web, cache, store, entry="web"),
        traffic,
        duration=20.0,
        warmup=4.0,
        engine=engine,
        record_keys=3,
    )
    table = results.keys_table()
    assert table.columns.tolist() == [
        "component",
        "key",
        "lookups",
        "hit_ratio",
        "stale_read_ratio",
    ]
    assert table.iloc[:, :4].values.tolist() == [
        ["cache", 0, 5, 1.0],
        ["cache", 1, 2, 0.0],
        ["cache", 2, 2, 0.0],
    ]


@both_engines
def test_a_cached_step_fetches_in_its_callers_own_way(engine) -> None:
    """Two services share a cache; each fetches through its own pool, 1 s and 3 s."""
    parts = [ss.Cache("cache", capacity=10, delay=0.1)]
    for name, seconds in (("fast", 1.0), ("slow", 3.0)):
        steps = [cached_step("cache", [ss.call(f"{name}-pool.query")]), ss.sleep(0.01)]
        parts.append(ss.Service(name, workers=9, endpoints={"get": steps}))
        query = {"query": [ss.sleep(seconds)]}
        parts.append(ss.Service(f"{name}-pool", endpoints=query))
    gateway = ss.Service(
        "gateway",
        workers=9,
        endpoints={name: [ss.call(f"{name}.get")] for name in ("fast", "slow")},
    )
    results = run(
        engine,
        gateway,
        *parts,
        at=[0, 0, 10, 20],
        key=(1, 2, 1, 2),
        endpoint=("fast", "slow", "slow", "fast"),
    )
    # A miss: look 0.1, fetch, store 0.1; a hit: look 0.1. Then 0.01 of the caller's own.
    assert ends(results) == near([1.21, 3.21, 10.11, 20.11])
    assert metric(results, "cache", "hit_ratio") == 0.5


@both_engines
def test_a_fetch_of_a_cached_step_that_fails_stores_nothing(engine) -> None:
    steps = [cached_step("cache", [ss.call("store.load")])]
    web = ss.Service("web", workers=9, endpoints={"get": steps})
    store = ss.Service("store", backlog=0, endpoints={"load": [ss.sleep(1.0)]})
    results = run(engine, web, ss.Cache("cache"), store, at=[0, 0.5, 2, 4], key=(1, 2, 2, 1))
    expected = [(1.0, "completed"), (0.5, "rejected"), (3.0, "completed"), (4.0, "completed")]
    assert outcomes(results) == expected
