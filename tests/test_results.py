"""`Results`: quantiles, means, tables, text, plain data, conservation, the bottleneck."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest

import scalesim as ss
from scalesim.errors import InternalError, InvalidInput
from scalesim.kernels.draws import BUCKETS, bucket
from scalesim.results.latency import bucket_edges, histogram_quantile

EXP = ss.Exponential


def shop() -> ss.Topology:
    """Return a model that uses every kind of component and every outcome."""
    web = ss.Service(
        "web",
        instances=2,
        workers=6,
        backlog=5,
        memory=1e9,
        memory_per_request=1e6,
        network_out=1e8,
        endpoints={
            "get": ss.Endpoint(
                [ss.compute(EXP(0.004)), ss.call("cache.get", timeout=0.05)], response_bytes=2e4
            ),
            "buy": ss.Endpoint(
                [
                    ss.compute(EXP(0.006)),
                    ss.call("db.write", retry=ss.Retry(3, backoff=0.01), timeout=0.03),
                    ss.publish("mail"),
                ],
                response_bytes=EXP(1e4),
            ),
        },
    )
    return ss.Topology(
        ss.LoadBalancer("edge", targets="web", policy="least_connections"),
        web,
        ss.Cache("cache", capacity=50, origin="db.read", delay=0.0005, concurrency=1),
        ss.Database(
            "db",
            connections=3,
            read=EXP(0.006),
            write=EXP(0.008),
            apply=EXP(0.001),
            disk_iops=900.0,
            read_replicas=1,
            shards=2,
        ),
        ss.MessageQueue("mail", handler=[ss.sleep(EXP(0.01))], capacity=10),
        entry="edge",
    )


TRAFFIC = ss.Traffic(
    250.0, mix={"get": 0.7, "buy": 0.3}, keys=ss.Zipf(500, 0.9), timeout=0.5, retry=ss.Retry(2)
)


@pytest.fixture(scope="module")
def results():
    return ss.simulate(shop(), TRAFFIC, duration=60.0, trials=3, record_requests=50_000)


@pytest.fixture(scope="module")
def measured(results):
    """The requests that ended in the measured window, one by one."""
    table = results.attempts_table()
    return table[table["ended_at_s"] >= 6.0]


# Latency --------------------------------------------------------------------------------------


def test_the_fixture_has_every_outcome_but_failures(results) -> None:
    counts = results.counts
    assert all(counts[name] > 20 for name in ("completed", "rejected", "timed_out"))
    assert counts["failed"] == 0


@pytest.mark.parametrize("endpoint", [None, "get", "buy"])
@pytest.mark.parametrize("outcome", ["completed", "rejected", "timed_out"])
def test_mean_and_deviation_are_exact(results, measured, endpoint, outcome) -> None:
    rows = measured[measured["outcome"] == outcome]
    rows = rows if endpoint is None else rows[rows["endpoint"] == endpoint]
    exact = rows["latency_s"].to_numpy()
    latency = results.latency_of(endpoint, outcome)
    assert latency.count == len(exact) > 0
    assert latency.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert latency.longest == exact.max()
    assert latency.std == pytest.approx(exact.std(ddof=1), rel=1e-9)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999])
def test_quantiles_are_within_a_hundredth_of_the_nearest_rank(results, measured, p) -> None:
    exact = np.sort(measured[measured["outcome"] == "completed"]["latency_s"].to_numpy())
    rank = math.ceil(p * len(exact))
    assert results.latency.quantile(p) == pytest.approx(exact[rank - 1], rel=0.008)
    assert results.latency.quantile(p) <= results.latency.longest


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.5, math.nan, 99])
def test_a_quantile_needs_a_probability(results, p) -> None:
    with pytest.raises(InvalidInput, match="a probability above 0 and below 1"):
        results.latency.quantile(p)


def test_any_value_falls_into_a_narrow_bucket() -> None:
    edges = bucket_edges()
    assert len(edges) == BUCKETS + 1
    for value in [1e-9, 1e-6, 0.0123, 0.5, 1.0, 1.5, 59.9, 3600.0, 1e8]:
        low, high = edges[bucket(value) : bucket(value) + 2]
        assert low <= value < high
        assert (high - low) / low <= 1 / 64
        counts = np.bincount([bucket(value)], minlength=BUCKETS)
        assert histogram_quantile(counts, 0.5) == pytest.approx(value, rel=0.008)
    assert bucket(0.0) == 0
    assert bucket(1e300) == BUCKETS - 1
    assert math.isnan(histogram_quantile(np.zeros(BUCKETS, int), 0.5))


def test_quantile_of_zeros() -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(0.0)]})
    results = ss.simulate(ss.Topology(server, entry="server"), ss.Traffic(50.0), duration=10.0)
    assert results.latency.quantile(0.99) == 0.0
    assert results.latency.mean == 0.0


def test_unknown_names_are_errors(results) -> None:
    with pytest.raises(InvalidInput, match=r'no endpoint "git".*Did you mean "get"'):
        results.latency_of("git")
    with pytest.raises(InvalidInput, match=r'no outcome "complete".*Did you mean "completed"'):
        results.latency_of("get", "complete")
    with pytest.raises(InvalidInput, match=r'no component "webb".*Did you mean "web"'):
        results.wait_quantile("webb", "workers", 0.9)
    with pytest.raises(InvalidInput, match=r'no resource of web "worker".*Did you mean "workers"'):
        results.wait_quantile("web", "worker", 0.9)


# Rates ----------------------------------------------------------------------------------------


def test_counts_and_rates(results, measured) -> None:
    counts = measured["outcome"].value_counts()
    assert results.counts == {
        name: int(counts.get(name, 0)) for name in ("completed", "rejected", "timed_out", "failed")
    }
    table = results.attempts_table()
    assert results.measured_time == pytest.approx(3 * 54.0)
    assert results.arrived == int((table["arrived_at_s"] >= 6.0).sum())
    assert results.arrival_rate == results.arrived / results.measured_time
    assert results.throughput == results.counts["completed"] / results.measured_time
    ended = sum(results.counts.values())
    assert results.error_ratio == pytest.approx(1 - results.counts["completed"] / ended)


@pytest.mark.parametrize("deadline", [0.005, 0.02, 0.1])
def test_goodput_counts_those_in_time(results, measured, deadline) -> None:
    times = measured[measured["outcome"] == "completed"]["latency_s"]
    low, high = ((times <= deadline * f).sum() / results.measured_time for f in (0.992, 1.016))
    assert low <= results.goodput(deadline) <= high
    assert results.goodput(1e6) == pytest.approx(results.throughput)


# Tables ---------------------------------------------------------------------------------------

UNITS = ("_s", "_rps", "_ratio")
COUNTS = {
    "requests",
    "instances",
    "arrivals",
    "rejected",
    "abandoned",
    "served",
    "instance",
    "trial",
}
WORDS = {"endpoint", "outcome", "component", "resource", "warmup", "metric", "value"}


def test_columns_say_their_unit(results) -> None:
    tables = [
        results.requests_table(),
        results.resources_table(),
        results.resources_table(instances=True),
        results.series(),
        results.attempts_table(),
    ]
    for table in tables:
        for column in table.columns:
            named = column.endswith(UNITS) or "queue_depth" in column
            assert named or column in COUNTS | WORDS, column


def test_requests_table_adds_up(results) -> None:
    table = results.requests_table()
    sums = table.groupby("outcome")["requests"].sum()
    for outcome, count in results.counts.items():
        assert sums.get(outcome, 0) == count
    rates = table.loc[table["outcome"] == "completed", "rate_rps"]
    assert rates.sum() == pytest.approx(results.throughput)
    row = table[(table["endpoint"] == "get") & (table["outcome"] == "completed")].iloc[0]
    assert row["latency_mean_s"] == results.latency_of("get").mean
    assert row["latency_p99_s"] == results.latency_of("get").quantile(0.99)


def test_resources_table_adds_up_over_instances(results) -> None:
    whole, single = results.resources_table(), results.resources_table(instances=True)
    assert len(single) == int(whole["instances"].sum())
    for column in ("arrivals", "rejected", "abandoned", "served", "queue_depth_mean"):
        sums = single.groupby(["component", "resource"])[column].sum()
        for _, row in whole.iterrows():
            expected = sums[row["component"], row["resource"]]
            assert row[column] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    used = whole["utilization_ratio"]
    assert ((used >= 0) & (used <= 1 + 1e-9)).all()
    assert (whole["utilization_busiest_ratio"] >= used - 1e-12).all()
    shown = set(zip(whole["component"], whole["resource"], strict=True))
    assert {("web", "memory"), ("web", "network_out"), ("db", "disk"), ("db", "apply"),
            ("cache", "slots"), ("mail", "consumers"), ("mail", "room")} <= shown  # fmt: skip


def test_components_table(results) -> None:
    table = results.components_table().set_index(["component", "metric"])["value"]
    assert 0 < table["cache", "hit_ratio"] < 1
    assert table["db", "shard_skew"] >= 1.0
    assert table["db", "replication_lag_p99_s"] >= table["db", "replication_lag_mean_s"] > 0
    # As many as were handled, but for those in the queue at the window's edges.
    assert table["mail", "published"] == pytest.approx(table["mail", "message_time_count"], abs=33)
    assert table["client", "retry_amplification[get]"] > 1.0
    assert table["web", "retry_amplification[buy.1->db.write]"] > 1.0


def test_series_adds_up_to_the_totals() -> None:
    results = ss.simulate(shop(), TRAFFIC, duration=60.0, seed=4)
    series = results.series()
    assert len(series) == 80
    assert series["warmup"].sum() == 8
    assert series["start_s"].tolist()[1:] == series["end_s"].tolist()[:-1]
    window = series[~series["warmup"]]
    width = window["end_s"] - window["start_s"]
    assert width.sum() == pytest.approx(results.measured_time)
    assert (window["arrival_rate_rps"] * width).sum() == pytest.approx(results.arrived)
    completed = window["throughput_rps"] * width
    assert completed.sum() == pytest.approx(results.counts["completed"])
    assert (window["latency_mean_s"] * completed).sum() == pytest.approx(results.latency.total)
    table = results.resources_table()
    for _, row in table.iterrows():
        name = f"{row['component']}.{row['resource']}"
        used = (window[f"{name}.utilization_ratio"] * width).sum() / width.sum()
        depth = (window[f"{name}.queue_depth"] * width).sum() / width.sum()
        assert used == pytest.approx(row["utilization_ratio"], rel=1e-9, abs=1e-12)
        assert depth == pytest.approx(row["queue_depth_mean"], rel=1e-9, abs=1e-12)


def test_series_of_an_idle_bucket_is_nan_not_zero() -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(0.1)]})
    traffic = ss.ReplayTraffic((0.5, 9.5))
    results = ss.simulate(ss.Topology(server, entry="server"), traffic, duration=10.0, warmup=0)
    series = results.series()
    assert series["latency_mean_s"].notna().sum() == 2
    assert series["latency_p99_s"].notna().sum() == 2
    assert series["error_ratio"].notna().sum() == 2
    assert (series["throughput_rps"] > 0).sum() == 2


# Text and plain data --------------------------------------------------------------------------


def test_summary(results) -> None:
    text = results.summary()
    assert repr(results) == text
    assert "measured 54 s after 6 s of warm-up, 3 trials, compiled engine" in text
    assert "error ratio" in text
    assert "bottleneck: " in text
    assert "PARTIAL" not in text


def test_html(results) -> None:
    html = results._repr_html_()
    assert html.startswith("<pre>")
    assert html.count("<table") == 2
    assert "latency_p99_s" in html
    assert "<script" not in html


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} in JSON")


def test_to_dict_is_json_without_nan(results) -> None:
    data = results.to_dict()
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text, parse_constant=no_constant) == data
    assert data["requests"] == results.counts
    assert data["latency_p99_s"] == results.latency.quantile(0.99)
    assert data["bottleneck"]["component"] == results.bottleneck.component
    assert len(data["resources"]) == len(results.resources_table())


def test_to_dict_of_an_empty_run_is_json_too() -> None:
    traffic = ss.ReplayTraffic((50.0,), mix={"get": 1.0, "buy": 0.0}, keys=ss.UniformKeys(3))
    results = ss.simulate(shop(), traffic, duration=10.0)
    data = results.to_dict()
    json.dumps(data, allow_nan=False)
    assert data["latency_mean_s"] is None
    assert data["error_ratio"] is None
    assert data["throughput_rps"] == 0.0
    text = results.summary()
    assert "nan" not in text
    assert "error ratio none" in text
    assert "bottleneck: none, for nothing was used" in text
    assert results._repr_html_()
    assert len(results.series()) == 80


def test_a_summary_shows_figures_without_exponents() -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(ss.Exponential(0.01))]})
    results = ss.simulate(ss.Topology(server, entry="server"), ss.Traffic(95.0), duration=60.0)
    figures = next(line for line in results.summary().splitlines() if "latency of" in line)
    assert re.fullmatch(r"[^:]*:( [a-z0-9]+ [\d,.]+( ± [\d,.]+)? ms( \(at least [\d,.]+ ms\))?,?)+",
                        figures), figures  # fmt: skip
    assert "(at least " in figures


def test_a_model_without_resources_has_no_bottleneck() -> None:
    cache = ss.Cache("cache", hit_ratio=0.5, delay=0.001)
    traffic = ss.Traffic(10.0, mix={"get": 1.0, "set": 0.0, "delete": 0.0})
    results = ss.simulate(ss.Topology(cache, entry="cache"), traffic, duration=10.0)
    assert "bottleneck: none" in results.summary()
    assert results.resources_table().empty
    json.dumps(results.to_dict(), allow_nan=False)
    assert results._repr_html_()


# Conservation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_requests_are_conserved_to_the_unit(engine) -> None:
    results = ss.simulate(shop(), TRAFFIC, duration=8.0, engine=engine)
    recording = results.recordings[0]
    recording.check()
    ended = int(recording.flow["count"].sum())
    assert int(recording.arrived.sum()) == ended + recording.in_flight


def test_a_tampered_recording_is_an_internal_error(results) -> None:
    recording = results.recordings[0]
    flow = recording.flow.copy()
    flow["count"][30, 0, 0] += 1
    with pytest.raises(InternalError, match=r"requests are not conserved: .* arrived, .*report"):
        dataclasses.replace(recording, flow=flow).check()
    with pytest.raises(InternalError, match="requests are not conserved"):
        dataclasses.replace(recording, in_flight=recording.in_flight - 1).check()
    station = recording.station.copy()
    station["served"][-1] += 1_000_000
    with pytest.raises(InternalError, match="stations served more than entered"):
        dataclasses.replace(recording, station=station).check()


def test_every_run_is_checked(monkeypatch) -> None:
    from scalesim.recording import Recording

    seen = []
    monkeypatch.setattr(Recording, "check", lambda self: seen.append(self))
    server = ss.Service("server", endpoints={"get": [ss.compute(0.01)]})
    for engine in ("compiled", "reference"):
        ss.simulate(
            ss.Topology(server, entry="server"),
            ss.Traffic(5.0),
            duration=2.0,
            trials=2,
            engine=engine,
        )
    assert len(seen) >= 4


# Bottleneck -----------------------------------------------------------------------------------


def test_workers_held_by_a_slow_database_are_not_the_bottleneck() -> None:
    web = ss.Service(
        "web", workers=8, cores=8, endpoints={"get": [ss.compute(0.001), ss.call("db.read")]}
    )
    database = ss.Database("db", connections=1, read=EXP(0.01))
    topology = ss.Topology(web, database, entry="web")
    results = ss.simulate(topology, ss.Traffic(150.0), duration=60.0)
    assert results.utilization[0] > 0.99  # all workers are taken ...
    found = results.bottleneck
    assert found.component == "db"  # ... by requests that wait for the database
    assert found.resource in ("connections", "cpu")
    assert found.utilization > 0.98
    assert "of db (1" in str(found) or "of db (9" in str(found)


def test_a_busy_processor_is_the_bottleneck() -> None:
    web = ss.Service("web", workers=50, endpoints={"get": [ss.compute(EXP(0.01))]})
    results = ss.simulate(
        ss.Topology(web, entry="web"), ss.Traffic(90.0), duration=60.0, warmup=6.0
    )
    assert (results.bottleneck.component, results.bottleneck.resource) == ("web", "cpu")
    assert results.bottleneck.wait_share == pytest.approx(0.9, abs=0.05)


def test_the_bottleneck_is_the_busiest_instance() -> None:
    database = ss.Database("db", connections=4, read=EXP(0.01), shards=4)
    keys = ss.UniformKeys(1)
    traffic = ss.Traffic(80.0, keys=keys, mix={"read": 1.0, "write": 0.0})
    results = ss.simulate(ss.Topology(database, entry="db"), traffic, duration=60.0)
    hot = results.resources_table(instances=True)
    hot = hot[hot["resource"] == "cpu"].set_index("instance")["utilization_ratio"].idxmax()
    assert results.bottleneck.instance == hot
    assert results.bottleneck.utilization == pytest.approx(0.8, abs=0.05)


def test_full_memory_is_a_bottleneck_only_if_it_turns_requests_away() -> None:
    def run(memory: float):
        web = ss.Service(
            "web",
            workers=100,
            cores=100,
            memory=memory,
            memory_base=1e9,
            memory_per_request=1e6,
            endpoints={"get": [ss.compute(EXP(0.01))]},
        )
        return ss.simulate(ss.Topology(web, entry="web"), ss.Traffic(500.0), duration=20.0)

    assert run(1.1e9).bottleneck.resource != "memory"
    tight = run(1.003e9).bottleneck
    assert tight.resource == "memory"
    assert tight.rejected > 0
    assert "rejected" in str(tight)
