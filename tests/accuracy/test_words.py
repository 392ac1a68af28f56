"""Translation: the vocabulary with other numbers and in other combinations, and what it refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from accuracy.run import main
from accuracy.suite import Case, Effort, Outcome, run_case
from accuracy.theory import read_cases
from accuracy.words import Unsupported

from scalesim.errors import InternalError, InvalidModel

EFFORT = Effort(scale=1.0, trials=8, beside=False)


def judged(folder: Path, model: dict[str, Any], expected: dict[str, Any]) -> Outcome:
    """Return the outcome of a case from a file of a stranger."""
    values = {
        name: {"value": value, "kind": "exact", "tolerance_abs": 1e-9}
        for name, value in expected.items()
    }
    path = folder / "case.json"
    path.write_text(json.dumps({"id": "case", "model": model, "expected": values}))
    (case,) = read_cases(path)
    return run_case(case, 100, 0.0, EFFORT)


def station(name: str = "server", **words: Any) -> dict[str, Any]:
    service = {"kind": "exponential", "mean_s": 0.01}
    return {"name": name, "servers": 1, "discipline": "fifo", "service": service, **words}


MM1 = {
    "arrival": {"kind": "poisson", "rate_per_s": 50},
    "stations": [station()],
    "run": {"requests": 100_000, "warmup_requests": 10_000},
}


def test_the_command_ends_with_the_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = tmp_path / "cases.json", tmp_path / "page.md"
    trace = {
        "arrival": {"kind": "trace", "at_s": [0, 1]},
        "stations": [station(service={"kind": "deterministic", "mean_s": 3})],
    }
    one = {"value": [3.0, 6.0], "kind": "exact", "tolerance_abs": 1e-9}
    wrong = {"value": [3.0, 7.0], "kind": "exact", "tolerance_abs": 1e-9}
    cases = [
        {"id": "right", "model": trace, "expected": {"finish_at_s": one}},
        {"id": "wrong", "model": trace, "expected": {"finish_at_s": wrong}},
        {"id": "new", "model": trace, "expected": {"finish_mood": one}},
    ]
    path.write_text(json.dumps(cases))
    assert main([str(path), "--budget", "0", "--page", str(page)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed, 1 unsupported"
    assert "| new | metric finish_mood |" in page.read_text()
    assert main([str(path), "--json", "--only", "right"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["state"], [each["got"] for each in told["figures"]]) == ("passed", [3.0, 6.0])


def test_shards_of_several_servers(tmp_path: Path) -> None:
    """Seven keys over three shards by modulo: 3, 2 and 2 of them; each shard is M/M/2."""
    model = {
        "arrival": {"kind": "poisson", "rate_per_s": 350},
        "keys": {"kind": "uniform", "count": 7},
        "sharding": {"kind": "modulo", "shards": 3},
        "stations": [station(instances=3, servers_per_instance=2)],
        "run": {"requests": 300_000},
    }
    del model["stations"][0]["servers"]
    loads = [0.75, 0.5, 0.5]
    times = [0.01 / (1 - load**2) for load in loads]
    expected = {
        "shard_share": [3 / 7, 2 / 7, 2 / 7],
        "utilization_per_shard": loads,
        "response_time_mean_s_per_shard": times,
        "response_time_mean_s": 3 / 7 * times[0] + 4 / 7 * times[1],
    }
    outcome = judged(tmp_path, model, expected)
    assert not any(row.verdict.wrong for row in outcome.rows), outcome.why
    assert len(outcome.rows) == 10


def test_equal_ranges_of_keys(tmp_path: Path) -> None:
    model = {
        **copy.deepcopy(MM1),
        "keys": {"kind": "zipf", "count": 6, "exponent": 1.0},
        "sharding": {"kind": "range", "shards": 2, "rule": "equal contiguous ranges of keys"},
    }
    model["stations"] = [station(instances=2)]
    first = 11 / 6 / (11 / 6 + 37 / 60)
    outcome = judged(tmp_path, model, {"shard_share": [first, 1 - first], "shard_skew": 2 * first})
    assert not any(row.verdict.wrong for row in outcome.rows), outcome.why
    model["sharding"]["shards"] = 4
    assert "sharding.shards=4" in judged(tmp_path, model, {"shard_skew": 1.0}).why


def test_three_stations_that_block(tmp_path: Path) -> None:
    """Three requests at once, 1 s, 3 s and 1 s, no room between: by hand.

    The second station works from 1 to 4, 4 to 7 and 7 to 10; the first holds who is done at 2 until
    4, and who begins then and is done at 5 until 7.
    """
    full = {"when_next_full": "hold the slot until there is room (blocking after service)"}
    times = [("a", 1), ("b", 3), ("c", 1)]
    model = {
        "arrival": {"kind": "trace", "at_s": [0, 0, 0]},
        "stations": [
            station(name, queue_limit=None if name == "a" else 0,
                    service={"kind": "deterministic", "mean_s": time},
                    **({} if name == "c" else full))
            for name, time in times
        ],
        "routing": "in order",
        "window": {"warmup_s": 0, "duration_s": 20, "rule": "[warmup, duration)"},
    }  # fmt: skip
    expected = {
        "response_time_mean_s": (5 + 8 + 11) / 3,
        "slot_held_ratio@a": 7 / 20,
        "blocked_ratio@a": 4 / 20,
        "utilization@a": 3 / 20,
        "utilization@b": 9 / 20,
        "in_flight_mean@b": 9 / 20,
        "throughput_rps": 3 / 20,
    }
    outcome = judged(tmp_path, model, expected)
    assert outcome.state == "passed", outcome.why
    # A request's own end is not known: it ends when it is handed on.
    assert judged(tmp_path, model, {"finish_at_s": [5, 8, 11]}).why == "metric finish_at_s"
    assert "which has no line" in judged(tmp_path, model, {"wait_time_mean_s@b": 0}).why


def test_moments_of_attempts_and_grants(tmp_path: Path) -> None:
    """One connection, held 2 s after 0.5 s of work; the second request gets it when it is free."""
    web = {
        "name": "web", "slots": 3, "queue_limit": None, "cores": "no contention",
        "steps": [{"work_s": 0.5}, {"acquire": "pool"}, {"hold_s": 2.0}, {"release": "pool"}],
    }  # fmt: skip
    pool = {"name": "pool", "slots": 1, "discipline": "fifo"}
    model = {"arrival": {"kind": "trace", "at_s": [1, 1.25]}, "stations": [web, pool]}
    expected = {"pool_granted_at_s": [1.5, 3.5], "finish_at_s": [3.5, 5.5], "attempts": [1, 1]}
    outcome = judged(tmp_path, model, expected)
    assert outcome.state == "passed", outcome.why


def test_a_sender_that_collects(tmp_path: Path) -> None:
    model = {
        "arrival": {"kind": "trace", "at_s": [0, 1, 1.5, 9]},
        "message_queue": {"batch_size_max": 2, "linger_s": 0.75},
    }
    expected = {"batch_sent_at_s": [0.75, 1.5, 9.75], "batch_size": [1, 2, 1]}
    outcome = judged(tmp_path, model, expected)
    assert outcome.state == "passed", outcome.why


BREAKER = {"consecutive_failures": 2, "open_time_s": 3, "half_open_probes": 1}


def test_a_breaker_and_failures_that_take_time(tmp_path: Path) -> None:
    """The calls at 2 and 3 fail; the second does at 3.5, so that those until 6.5 are stopped."""
    callee = {"service_s": 0.1, "fails_when_started_in_s": [2, 7], "failure_takes_s": 0.5}
    model = {
        "arrival": {"kind": "deterministic", "first_at_s": 1, "interarrival_s": 1, "count": 8},
        "callee": callee,
        "circuit_breaker": BREAKER,
    }
    outcomes = ["completed", *["failed"] * 2, *["short_circuited"] * 3, *["completed"] * 2]
    expected = {"outcome": outcomes, "short_circuited_ratio": 3 / 8, "failed_count": 2}
    outcome = judged(tmp_path, model, expected)
    assert outcome.state == "passed", outcome.why
    assert "short-circuited or not" in judged(tmp_path, model, {"failed_ratio": 0.5}).why
    model["circuit_breaker"] = {**BREAKER, "close_after_successes": 3}
    assert "close_after_successes=3" in judged(tmp_path, model, {"failed_count": 2}).why


def test_messages_that_come_one_by_one(tmp_path: Path) -> None:
    """With two each, the third waits behind the first, and the fifth until the second is done."""
    turn = "round robin over consumers with room, consumer 0 first; a consumer that acknowledges "
    queue = {"kind": "work_queue", "prefetch": 2, "delivery": f"{turn}gets the next message"}
    messages = {"at_s": [0, 0.25, 0.5, 0.75, 1], "processing_s": [5, 1, 1, 1, 1]}
    model = {"message_queue": queue, "messages": messages, "consumers": 2}
    outcome = judged(tmp_path, model, {"finish_at_s": [5, 1.25, 6, 2.25, 3.25]})
    assert outcome.state == "passed", outcome.why
    del queue["delivery"]
    assert "prefetch=2 without delivery" in judged(tmp_path, model, {"finish_at_s": [0] * 5}).why


def test_an_error_of_ours_is_no_matter_of_words() -> None:
    def outcome(error: Exception) -> Outcome:
        def measure(effort: Effort) -> dict[str, Any]:
            raise error

        return run_case(Case("case", "", {}, measure), 1, 0.0, EFFORT)

    assert outcome(KeyError("x")).state == outcome(InternalError("x")).state == "failed"
    assert "KeyError: 'x' (test_words.py:" in outcome(KeyError("x")).why
    assert outcome(InvalidModel("x")).state == outcome(Unsupported("x")).state == "unsupported"


def test_peak_of_a_slowdown(tmp_path: Path) -> None:
    slow = {"kind": "usl", "contention": 0.1, "coherency": 0.01}
    model = {
        "clients": {"kind": "closed", "users": 5,
                    "think_time": {"kind": "exponential", "mean_s": 0.1}},
        "stations": [station(servers="infinite", slowdown=slow)],
        "run": {"requests": 400_000},
    }  # fmt: skip
    model["stations"][0].pop("discipline")
    peak = (0.9 / 0.01) ** 0.5
    most = peak / 0.01 / (1 + 0.1 * (peak - 1) + 0.01 * peak * (peak - 1))
    expected = {"concurrency_of_peak_throughput": peak, "throughput_rps_peak": most}
    outcome = judged(tmp_path, model, expected)
    assert outcome.state == "passed", outcome.why


def test_cost_without_storage(tmp_path: Path) -> None:
    part = {"name": "web", "instances": 3, "price_usd_per_hour": 0.5, "storage_gb_each": 0}
    model = {"hours_per_month": 730, "components": [part], "average_rate_per_s": 10}
    expected = {"cost_usd_per_month": 1095.0, "cost_usd_per_million_requests": 1095 / 26.28}
    assert judged(tmp_path, model, expected).state == "passed"
    part["storage_gb_each"] = 5
    assert judged(tmp_path, model, expected).why == "components[0].storage_gb_each=5"


SETUP = {
    "when": "a request arrives at an idle (switched-off) server",
    "switch_off": "at once when idle",
    "time": {"kind": "deterministic", "mean_s": 0.1},
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.update(tracing=True), "tracing=True"),
        (lambda m: m["arrival"].update(jitter=1), "arrival.jitter=1"),
        (lambda m: m["stations"][0]["service"].update(law=2), "stations[0].service.law=2"),
        (lambda m: m["arrival"].update(kind="pulses"), "arrival.kind='pulses'"),
        (lambda m: m["arrival"].update(rate_per_s="50"), "arrival.rate_per_s='50'"),
        (lambda m: m["arrival"].pop("rate_per_s"), "arrival without rate_per_s"),
        (lambda m: m["stations"][0].update(discipline="edf"), "stations[0].discipline='edf'"),
        (lambda m: m["stations"][0].update(servers="many"), "servers='many'"),
        (lambda m: m["run"].update(requests=[1, 2]), "run.requests"),
        (lambda m: m.update(stations={}), "stations"),
        (lambda m: m.update(autoscaler={"kind": "hpa"}), "autoscaler"),
        (lambda m: m.update(objective={"metric": "x", "limit": 1, "months": 2}), "months"),
        (lambda m: m.update(cache={"capacity_items": 3, "placement": "near"}), "placement"),
        (lambda m: m["stations"][0]["service"].update(scv={}), "not understood, at stations[0]"),
        (lambda m: m["stations"][0].update(servers=2, setup=SETUP), "setup of servers that"),
        (lambda m: m["stations"][0].update(discipline="sjf", abandonment={}), "abandonment"),
    ],
)
def test_what_is_not_known_is_named(tmp_path: Path, change: Any, named: str) -> None:
    model = copy.deepcopy(MM1)
    change(model)
    outcome = judged(tmp_path, model, {"wait_time_mean_s": 0.01})
    assert outcome.state == "unsupported"
    assert named in outcome.why


@pytest.mark.parametrize("metric", ["wait_time_mode_s", "utilization@nowhere", "breaking_month"])
def test_a_metric_that_is_not_known_is_named(tmp_path: Path, metric: str) -> None:
    outcome = judged(tmp_path, copy.deepcopy(MM1), {metric: 1.0})
    assert (outcome.state, metric in outcome.why) == ("unsupported", True)
