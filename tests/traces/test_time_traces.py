"""Time: ties, the measured window, closed users, rate profiles, overload and its backlog."""

from __future__ import annotations

import numpy as np
import pytest
from traces.tracing import both_engines, ends, instances, near, outcomes, run

import scalesim as ss
from scalesim.distributions import Recorded
from scalesim.traffic import Batches, Renewal, Traffic, UserGroups, Users


def served(seconds: float, **fields) -> ss.Service:
    """Return a service of one slot."""
    return ss.Service("server", endpoints={"get": [ss.compute(seconds)]}, **fields)


def simulate(engine, server, traffic, duration, warmup=0.0):
    """Simulate one server under some traffic, recording every request."""
    return ss.simulate(
        ss.Topology(server, entry="server"),
        traffic,
        duration=duration,
        warmup=warmup,
        engine=engine,
        record_requests=10_000,
    )


@both_engines
def test_a_departure_comes_before_an_arrival(engine) -> None:
    results = run(engine, served(1.0, backlog=0), at=range(1, 11))
    assert ends(results) == [float(each) for each in range(2, 12)]


@both_engines
def test_a_departure_comes_before_a_timer(engine) -> None:
    results = run(engine, served(3.0), at=[0, 4], timeout=3.0)
    assert outcomes(results) == [(3.0, "completed"), (7.0, "completed")]


@both_engines
def test_an_arrival_comes_before_a_timer(engine) -> None:
    # At 1 the second attempt of the first request and the arrival want the one slot left.
    server = served(1.0, backlog=0)
    retry = ss.Retry(2, backoff=0.5, jitter="none")
    results = run(engine, server, at=[0, 0.5, 1.0], retry=retry)
    assert outcomes(results) == [(1.0, "completed"), (1.0, "rejected"), (2.0, "completed")]


@both_engines
def test_equal_arrivals_go_in_their_order(engine) -> None:
    assert ends(run(engine, served(1.0), at=[2, 2, 2])) == [3.0, 4.0, 5.0]


@both_engines
def test_window_of_an_overloaded_server(engine) -> None:
    at = [0.4 * each for each in range(1, 200)]
    results = run(engine, served(1.0), at=at, warmup=10.0, duration=50.0)
    table = results.attempts_table()
    assert len(table) == 124
    assert (table["outcome"] == "completed").sum() == 49
    assert results.recordings[0].in_flight == 75
    assert results.counts["completed"] == 40
    assert results.throughput == 1.0
    assert results.arrived == 100
    assert instances(results, "server", "workers", "busy") == near([40.0])


@both_engines
def test_window_is_closed_on_the_left_and_open_on_the_right(engine) -> None:
    # Ends at 1, 2, ..., 8: in [3, 8) are those at 3 to 7. Arrivals at 0, ..., 7: 3 to 7.
    results = run(engine, served(1.0), at=range(8), warmup=3.0, duration=8.0)
    assert results.counts["completed"] == 5
    assert results.arrived == 5
    assert results.latency.mean == 1.0
    assert results.recordings[0].in_flight == 1
    assert outcomes(results)[-1][1] == "in_flight"


@both_engines
def test_integrals_are_cut_at_the_windows_edges(engine) -> None:
    # In service 0 to 4 and 4 to 8, the second waits 2 to 4; the window is [3, 7).
    results = run(engine, served(4.0), at=[0, 2], warmup=3.0, duration=7.0)
    assert instances(results, "server", "workers", "busy") == near([4.0])
    assert instances(results, "server", "workers", "depth") == near([1.0])
    assert instances(results, "server", "workers", "waited") == near([2.0])  # counted at the grant
    assert results.utilization.tolist() == near([1.0, 1.0])


@both_engines
def test_closed_users_with_constant_times(engine) -> None:
    traffic = ss.ClosedTraffic(2, think_time=1.0)
    results = simulate(engine, served(1.0), traffic, 10.25)
    table = results.attempts_table()
    # Both think until 1; one is served until 2, the other until 3, and so on in turn.
    assert table["arrived_at_s"].tolist() == [1, 1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert table["ended_at_s"].tolist()[:9] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert results.counts["completed"] == 9


@both_engines
def test_a_closed_user_waits_for_the_retries_too(engine) -> None:
    traffic = ss.ClosedTraffic(1, think_time=1.0, timeout=2.0, retry=ss.Retry(2, jitter="none"))
    server = ss.Service("server", workers=9, cores=9, endpoints={"get": [ss.compute(3.0)]})
    table = simulate(engine, server, traffic, 16.0).attempts_table()
    assert table["arrived_at_s"].tolist() == [1.0, 6.0, 11.0]
    assert table["ended_at_s"].tolist() == [5.0, 10.0, 15.0]


@both_engines
def test_closed_users_without_a_pause(engine) -> None:
    results = simulate(engine, served(1.0), ss.ClosedTraffic(2, think_time=0.0), 4.25)
    table = results.attempts_table()
    assert table["arrived_at_s"].tolist() == [0, 0, 1, 2, 3, 4]
    assert table["ended_at_s"].tolist()[:4] == [1, 2, 3, 4]


@both_engines
def test_users_who_neither_pause_nor_wait_are_an_error(engine) -> None:
    # Two of three are turned away at once, again and again, while the first is served.
    server = ss.Service("server", backlog=0, endpoints={"get": [ss.compute(1.0)]})
    message = r"traffic\.think_time: 3 users began more than 100,300 requests at 0 s"
    with pytest.raises(ss.InvalidModel, match=message):
        simulate(engine, server, ss.ClosedTraffic(3, think_time=0.0), 10.0)


RECORDS = {
    "the clock plus the gap is not the time": [1.3, 3.4],
    "again and again": np.cumsum(1.7 ** np.arange(44) * 0.1).tolist(),
    "tenths": np.cumsum([0.1] * 1000).tolist(),
    "tenths near 1e9": (1e9 + np.cumsum([0.1] * 1000)).tolist(),
    "a jump to 1e9": [0.1, 1e9 + 0.1, 1e9 + 0.1, 1e9 + 0.3],
    "decimals": np.sort(np.random.default_rng(1).exponential(100.0, 500).round(3)).tolist(),
    "tiny": [5e-324, 1e-300, 0.1],
}


@both_engines
@pytest.mark.parametrize("case", RECORDS)
def test_recorded_arrivals_come_at_the_very_times_recorded(engine, case) -> None:
    at = RECORDS[case]
    results = run(engine, served(0.0), at=at, duration=1.1 * at[-1])
    assert results.attempts_table()["arrived_at_s"].tolist() == at


def test_the_gaps_between_recorded_arrivals_do_not_give_them_back() -> None:
    first, second = RECORDS["the clock plus the gap is not the time"]
    assert first + (second - first) != second


@both_engines
def test_constant_arrivals_start_after_one_gap(engine) -> None:
    results = simulate(engine, served(0.0), ss.Traffic(4.0, arrivals="constant"), 2.0)
    assert results.attempts_table()["arrived_at_s"].tolist() == near(
        [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    )


@both_engines
@pytest.mark.parametrize(
    ("rates", "bucket", "repeat", "until", "expected"),
    [
        ((1.0, 2.0), 3.0, True, 9.5, [1, 2, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9]),
        ((1.0, 0.0, 1.0), 2.5, True, 9.0, [1, 2, 5.5, 6.5, 7.5, 8.5]),
        ((1.0, 0.0, 1.0), 2.75, False, 99.0, [1, 2, 5.75, 6.75, 7.75]),
    ],
)
def test_rate_profile_with_constant_arrivals(
    engine, rates, bucket, repeat, until, expected
) -> None:
    # The k-th arrival comes when the rate, summed over time, reaches k.
    profile = ss.RateProfile(rates, bucket=bucket, repeat=repeat)
    results = simulate(engine, served(0.0), ss.Traffic(profile, arrivals="constant"), until)
    assert results.attempts_table()["arrived_at_s"].tolist() == near(expected)


TICK = 1 / 1024
"""All times of the overloads are whole ticks, so that binary floating point is exact."""


def segments(*parts: tuple[float, float, int]) -> np.ndarray:
    """Return arrival times of segments (first, gap, count), given in ticks."""
    return TICK * np.concatenate([first + gap * np.arange(count) for first, gap, count in parts])


@both_engines
def test_overload_of_one_slot_and_its_drain(engine) -> None:
    # Offered 0.8, then 1.6, then 0.5 of what the slot can do, 8 ticks a request.
    at = segments((0, 10, 1600), (16_000, 5, 3200), (32_000, 16, 4000))
    results = run(engine, served(8 * TICK), at=at)
    waits = results.attempts_table()["latency_s"].to_numpy() / TICK - 8
    assert len(waits) == 8800
    assert waits.max() == 9600
    assert waits.mean() == 2400
    assert (waits > 0).sum() == 4399
    assert instances(results, "server", "workers", "deepest") == [1200]
    assert max(ends(results)) == 95_992 * TICK
    assert np.sort(waits)[8712 - 1] + 8 == 9416
    assert results.latency.quantile(0.99) == pytest.approx(9416 * TICK, rel=0.01)


@both_engines
def test_overload_of_four_slots_and_its_drains(engine) -> None:
    at = segments(
        (0, 20, 500),
        (10_000, 5, 2000),
        (20_000, 12.5, 2400),
        (50_000, 4, 2500),
        (60_000, 12.5, 8000),
    )
    results = run(engine, served(32 * TICK, workers=4, cores=4), at=at)
    waits = results.attempts_table()["latency_s"].to_numpy() / TICK - 32
    assert waits.mean() == pytest.approx(2180.3013961, abs=1e-6)
    assert waits.max() == 10_000
    assert (waits > 0).sum() == 8048
    assert instances(results, "server", "workers", "deepest") == [1250]
    assert max(ends(results)) == 160_019.5 * TICK


@both_engines
def test_the_requests_of_a_batch_arrive_at_one_moment_and_are_served_in_order(engine) -> None:
    traffic = Traffic(30.0, arrivals=Batches(3))
    results = simulate(engine, served(0.001), traffic, duration=20.0)
    at = results.attempts_table()["arrived_at_s"].to_numpy()
    batches = at[: len(at) // 3 * 3].reshape(-1, 3)
    assert len(batches) > 100
    assert (batches == batches[:, :1]).all()
    assert (np.diff(batches[:, 0]) > 0).all()
    waits = np.asarray(ends(results)[:3]) - at[:3]
    assert waits.tolist() == near([0.001, 0.002, 0.003])


@both_engines
def test_renewal_gaps_are_stretched_to_the_rate(engine) -> None:
    """Recorded gaps 1, 3, 2 (mean 2) at 0.5/s are themselves; at 5/s a tenth of that."""
    for rate, unit in ((0.5, 1.0), (5.0, 0.1)):
        traffic = Traffic(rate, arrivals=Renewal(Recorded((1.0, 3.0, 2.0))))
        results = simulate(engine, served(0.0), traffic, duration=14.5 * unit)
        at = results.attempts_table()["arrived_at_s"]
        assert at.tolist() == near([each * unit for each in (1, 4, 6, 7, 10, 12, 13)])


@both_engines
def test_recorded_demands_go_with_the_requests(engine) -> None:
    demands = Recorded((2.0, 1.0, 5.0))
    server = ss.Service("server", endpoints={"get": [ss.compute(demands)]})
    results = run(engine, server, at=[0, 10, 20, 30])
    assert ends(results) == [2.0, 11.0, 25.0, 32.0]


@both_engines
def test_every_visit_and_attempt_of_a_request_takes_its_recorded_value(engine) -> None:
    server = ss.Service("server", workers=2, endpoints={"get": [ss.compute(Recorded((2.0, 1.0)))]})
    gateway = ss.Service(
        "gateway",
        workers=5,
        endpoints={"get": [ss.call("server.get", timeout=100.0), ss.call("server.get")]},
    )
    assert ends(run(engine, gateway, server, at=[0, 10])) == [4.0, 12.0]


@both_engines
def test_groups_of_users_have_their_own_pauses_and_requests(engine) -> None:
    server = ss.Service(
        "server", workers=9, cores=9, endpoints={"get": [ss.compute(1.0)], "put": [ss.compute(3.0)]}
    )
    groups = {
        "readers": Users(1, think_time=1.0, mix={"get": 1, "put": 0}),
        "writers": Users(2, think_time=Recorded((9.0, 2.0, 4.0)), mix={"get": 0, "put": 1}),
    }
    # Turn t of user u takes value (u + 3 t) mod 3: the second user pauses 2 s, the third 4 s.
    results = simulate(engine, server, UserGroups(groups=groups), duration=11.0)
    table = results.attempts_table()
    of = {
        name: table[table["endpoint"] == name]["arrived_at_s"].tolist() for name in ("get", "put")
    }
    assert of == {"get": [1.0, 3.0, 5.0, 7.0, 9.0], "put": [2.0, 4.0, 7.0]}


@both_engines
def test_after_a_profile_that_does_not_repeat_nothing_arrives(engine) -> None:
    traffic = Traffic(ss.RateProfile((2.0,), bucket=3.0, repeat=False), arrivals="constant")
    results = simulate(engine, served(0.0), traffic, duration=20.0)
    assert results.attempts_table()["arrived_at_s"].tolist() == near([0.5, 1.0, 1.5, 2.0, 2.5])
