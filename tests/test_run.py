"""`simulate`: its arguments, its seeds, its trials, Ctrl-C."""

from __future__ import annotations

import math
import pickle
import signal
import threading
from concurrent import futures

import numpy as np
import pytest

import scalesim as ss
from scalesim import run
from scalesim.errors import InvalidInput, InvalidModel, UnsupportedByEngine
from scalesim.words import significant

SERVER = ss.Service("server", endpoints={"get": [ss.compute(ss.Exponential(0.01))]})
TOPOLOGY = ss.Topology(SERVER, entry="server")
TRAFFIC = ss.Traffic(50.0)

both_engines = pytest.mark.parametrize("engine", ["compiled", "reference"])


def differences(one, other) -> list[str]:
    """Return in which arrays two results differ."""
    assert one.trials == other.trials
    pairs = zip(one.recordings, other.recordings, strict=True)
    return [name for a, b in pairs for name in a.differences(b)]


# Arguments ------------------------------------------------------------------------------------

WHOLE = "allowed is a whole number from"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"topology": "web"}, "topology: got str, allowed is a Topology"),
        ({"traffic": 50.0}, "traffic: got float, allowed is a Traffic"),
        (
            {"duration": 0},
            "duration: got 0 s, allowed is a time above 0 s and at most 8,000,000,000",
        ),
        ({"duration": -1.0}, "duration: got -1 s, allowed is a time above 0 s"),
        ({"duration": math.inf}, "duration: got inf s, allowed is a time above 0 s"),
        ({"duration": math.nan}, "duration: got nan s, allowed is a time above 0 s"),
        (
            {"duration": 1e30},
            "got 1e+30 s, allowed is a time above 0 s and at most 8,000,000,000 s",
        ),
        ({"duration": "60 s"}, "duration: got '60 s', allowed is a time above 0 s"),
        ({"duration": None}, "duration: got None, allowed is a time above 0 s"),
        (
            {"warmup": 60.0},
            "warmup: got 60 s, allowed is at least 0 s and less than the duration, 60 s",
        ),
        ({"warmup": -1}, "warmup: got -1 s, allowed is at least 0 s"),
        ({"warmup": math.nan}, "warmup: got nan s, allowed is at least 0 s"),
        ({"warmup": "1 s"}, "warmup: got '1 s', allowed is at least 0 s"),
        ({"trials": 0}, f"trials: got 0, {WHOLE} 1 to 10000"),
        ({"trials": 10_001}, f"trials: got 10001, {WHOLE} 1 to 10000"),
        ({"trials": 2.0}, f"trials: got 2.0, {WHOLE} 1 to 10000"),
        ({"trials": True}, f"trials: got True, {WHOLE} 1 to 10000"),
        ({"seed": -1}, f"seed: got -1, {WHOLE} 0 to {2**63}"),
        ({"seed": 1.5}, f"seed: got 1.5, {WHOLE} 0 to {2**63}"),
        ({"seed": None}, f"seed: got None, {WHOLE} 0 to {2**63}"),
        ({"record_requests": -1}, f"record_requests: got -1, {WHOLE} 0 to {10**8}"),
        ({"record_requests": 10**9}, f"record_requests: got 1000000000, {WHOLE} 0 to {10**8}"),
        (
            {"engine": "compield"},
            "engine: got 'compield'. Did you mean \"compiled\"? Known: compiled, reference",
        ),
        ({"engine": None}, "engine: got None. Known: compiled, reference"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message) -> None:
    given = {"topology": TOPOLOGY, "traffic": TRAFFIC, "duration": 60.0, **arguments}
    with pytest.raises(InvalidInput) as error:
        ss.simulate(given.pop("topology"), given.pop("traffic"), **given)
    assert len(error.value.problems) == 1
    assert message in str(error.value)


def test_all_wrong_arguments_are_reported_together() -> None:
    with pytest.raises(InvalidInput) as error:
        ss.simulate(None, None, duration=-1, trials=0, seed=-1, engine="x", record_requests=-1)
    names = [problem.subject for problem in error.value.problems]
    assert names == [
        "topology", "traffic", "duration", "trials", "seed", "record_requests", "engine",
    ]  # fmt: skip
    assert str(error.value).startswith("7 problems:\n  topology: ")


def test_arguments_are_keywords() -> None:
    with pytest.raises(TypeError):
        ss.simulate(TOPOLOGY, TRAFFIC, 60.0)


def test_traffic_is_checked_before_anything_runs() -> None:
    with pytest.raises(InvalidModel, match=r"traffic\.rate: got -5.*/s, allowed is .* above 0"):
        ss.simulate(TOPOLOGY, ss.Traffic(-5.0), duration=60.0)


# What a run is --------------------------------------------------------------------------------


def test_warmup_is_a_tenth_unless_given() -> None:
    results = ss.simulate(TOPOLOGY, TRAFFIC, duration=50.0)
    assert results.recordings[0].spec.warmup == 5.0
    assert results.measured_time == 45.0
    assert ss.simulate(TOPOLOGY, TRAFFIC, duration=50.0, warmup=0).measured_time == 50.0


@both_engines
def test_the_same_seed_gives_the_same_numbers(engine) -> None:
    def once(seed: int):
        return ss.simulate(TOPOLOGY, TRAFFIC, duration=40.0, trials=3, seed=seed, engine=engine)

    assert differences(once(7), once(7)) == []
    assert differences(once(7), once(8)) != []


def test_engines_give_the_same_numbers() -> None:
    runs = [
        ss.simulate(TOPOLOGY, TRAFFIC, duration=40.0, trials=2, engine=engine, record_requests=50)
        for engine in ("compiled", "reference")
    ]
    assert differences(*runs) == []
    assert [each.engine for each in runs] == ["compiled", "reference"]


def test_trials_differ_and_do_not_depend_on_their_number() -> None:
    few = ss.simulate(TOPOLOGY, TRAFFIC, duration=40.0, trials=2)
    many = ss.simulate(TOPOLOGY, TRAFFIC, duration=40.0, trials=5)
    totals = [float(each.flow["latency"].sum()) for each in many.recordings]
    assert len(set(totals)) == 5
    for a, b in zip(few.recordings, many.recordings, strict=False):
        assert list(a.differences(b)) == []


def test_seeds_of_trials_do_not_overlap() -> None:
    seeds = {run.trial_seed(seed, trial) for seed in range(100) for trial in range(100)}
    assert len(seeds) == 10_000
    assert all(0 <= each < 2**64 for each in seeds)
    results = ss.simulate(TOPOLOGY, TRAFFIC, duration=5.0, seed=2**63)
    assert results.arrived > 0


def test_replay_uses_its_own_times() -> None:
    traffic = ss.ReplayTraffic((0.5, 0.5, 3.25))
    results = ss.simulate(TOPOLOGY, traffic, duration=100.0, warmup=0.0, record_requests=10)
    assert results.attempts_table()["arrived_at_s"].tolist() == [0.5, 0.5, 3.25]
    assert results.arrived == 3


def test_replay_past_the_end_is_cut() -> None:
    traffic = ss.ReplayTraffic((0.5, 1.0, 2.0))
    results = ss.simulate(TOPOLOGY, traffic, duration=2.0, warmup=0.0)
    assert results.arrived == 2  # an arrival at the very end is outside [0, 2)


def test_record_requests_keeps_the_first() -> None:
    results = ss.simulate(TOPOLOGY, TRAFFIC, duration=40.0, trials=2, record_requests=5)
    table = results.attempts_table()
    assert table["trial"].tolist() == [0] * 5 + [1] * 5
    assert ss.simulate(TOPOLOGY, TRAFFIC, duration=4.0).attempts_table().empty


def test_a_run_without_requests() -> None:
    traffic = ss.ReplayTraffic((50.0,))
    results = ss.simulate(TOPOLOGY, traffic, duration=10.0)
    assert results.arrived == 0
    assert results.throughput == 0.0
    assert math.isnan(results.error_ratio)
    assert math.isnan(results.latency.mean)
    assert "none" in results.summary()


def test_an_engine_that_lacks_something(monkeypatch, capsys) -> None:
    from scalesim.engines.compiled import CompiledEngine
    from scalesim.engines.reference import ReferenceEngine

    monkeypatch.setattr(CompiledEngine, "unsupported", lambda self, plan: ["server is too odd"])
    results = ss.simulate(TOPOLOGY, TRAFFIC, duration=4.0)
    assert results.engine == "reference"
    assert results.notices == ("NOTICE: run by the reference engine, because server is too odd",)
    assert results.summary().startswith("NOTICE")
    assert "server is too odd" in capsys.readouterr().err
    monkeypatch.setattr(ReferenceEngine, "unsupported", lambda self, plan: ["no"])
    with pytest.raises(UnsupportedByEngine, match="engine reference: no"):
        ss.simulate(TOPOLOGY, TRAFFIC, duration=4.0, engine="reference")


# Progress and Ctrl-C --------------------------------------------------------------------------

LONG = ss.Traffic(1000.0)
LONG_TOPOLOGY = ss.Topology(
    ss.Service("server", workers=20, cores=20, endpoints={"get": [ss.compute(0.01)]}),
    entry="server",
)


def test_progress_is_shown_if_wanted(capsys) -> None:
    ss.simulate(TOPOLOGY, ss.Traffic(10.0), duration=4.0, progress=True)
    assert "simulated s" in capsys.readouterr().err
    ss.simulate(TOPOLOGY, ss.Traffic(10.0), duration=4.0, progress=False)
    ss.simulate(TOPOLOGY, ss.Traffic(10.0), duration=4.0)
    assert capsys.readouterr().err == ""


@pytest.fixture
def interrupting(monkeypatch):
    """Make Ctrl-C happen in the main thread once it waits and some simulated time has passed.

    A busy machine may simulate much before the main thread has got its job: Ctrl-C would then leave
    nothing, rightly.
    """
    sent, waiting = threading.Event(), threading.Event()
    assert threading.current_thread() is threading.main_thread()

    def wait(jobs):
        waiting.set()
        return futures.wait(jobs)

    def interrupt(self, index: int, now: float) -> None:
        if now > 1.0 and waiting.is_set() and not sent.is_set():
            sent.set()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    monkeypatch.setattr(run, "wait", wait)
    monkeypatch.setattr(run._Bar, "move", interrupt)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield sent
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize(("engine", "duration"), [("compiled", 1e6), ("reference", 1e6)])
def test_an_interrupt_keeps_what_was_computed(interrupting, engine, duration) -> None:
    results = ss.simulate(LONG_TOPOLOGY, LONG, duration=duration, warmup=0.0, engine=engine)
    assert interrupting.is_set()
    assert results.partial
    recording = results.recordings[0]
    assert 1.0 < recording.ended_at < duration
    assert results.measured_time == recording.ended_at
    # As a run that ends there has it, whenever that was: the same seed, so no chance. What happens
    # at the very moment of the end, one arrival or departure, may be in one and not in the other.
    whole = ss.simulate(LONG_TOPOLOGY, LONG, duration=recording.ended_at, warmup=0.0, engine=engine)
    assert results.arrived == pytest.approx(whole.arrived, rel=0, abs=1)
    assert results.counts["completed"] == pytest.approx(whole.counts["completed"], rel=0, abs=1)
    one_more = 2.0 / whole.arrived
    assert results.throughput == pytest.approx(whole.throughput, rel=one_more)
    assert results.latency.mean == pytest.approx(whole.latency.mean, rel=3 * one_more)
    assert results.utilization == pytest.approx(whole.utilization, rel=1e-9)
    assert 0 < results.utilization.max() <= 1.0
    assert "PARTIAL" in results.summary()
    assert results.to_dict()["partial"] is True
    recording.check()


def test_an_interrupt_says_what_was_done(interrupting) -> None:
    results = ss.simulate(LONG_TOPOLOGY, LONG, duration=1e6, warmup=1e-3)
    first, second = results.summary().splitlines()[:2]
    measured = significant(results.measured_time, 6)
    assert first.endswith(f"the figures are of {measured} s measured, of 1,000,000 s asked for")
    assert second.startswith(f"measured {significant(results.measured_time, 6)} s after 0.001 s")


def test_an_interrupt_during_warm_up(interrupting) -> None:
    results = ss.simulate(LONG_TOPOLOGY, LONG, duration=2e6, warmup=1e6)
    assert results.partial
    assert results.measured_time == 0.0
    assert math.isnan(results.throughput)
    assert math.isnan(results.latency.mean)
    assert results.summary() == (
        "PARTIAL: interrupted; nothing was measured, for no trial came to the end of its warm-up, "
        "1,000,000 s"
    )
    assert str(results.bottleneck) == "none"
    assert results._repr_html_()
    assert results.series()["warmup"].all()


def test_an_interrupt_of_several_trials(interrupting) -> None:
    results = ss.simulate(LONG_TOPOLOGY, LONG, duration=1e6, warmup=0.0, trials=4)
    assert results.partial
    assert 1 <= results.trials <= 4
    assert all(each.ended_at > 0 for each in results.recordings)
    assert results.throughput == pytest.approx(1000.0, rel=0.05)
    assert np.isfinite(results.series()["throughput_rps"]).all()


@pytest.fixture
def interrupting_trial(monkeypatch):
    """Make Ctrl-C happen in the seventh trial, of trials that run one after the other."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun: list[object] = []

    def reporter(moved, index, stop):
        trial = object()

        def report(now: float) -> bool:
            if trial not in begun:
                begun.append(trial)
                if len(begun) == 7:
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                    stop.wait(60)
            return stop.is_set()

        return report

    monkeypatch.setattr(run, "_reporter", reporter)
    yield
    signal.signal(signal.SIGINT, previous)


GIVEN = {"duration": 120.0, "engine": "reference"}


def test_an_interrupt_keeps_the_trials_that_are_whole(interrupting_trial) -> None:
    results = ss.simulate(TOPOLOGY, TRAFFIC, trials=50, **GIVEN)
    assert (results.partial, results.trials, results.left_out) == (True, 6, 44)
    assert results.estimate("latency_mean_s").method == "trials"
    text = results.summary()
    assert "of the trials that are whole, 6 of 50\nmeasured 108 s after 12 s of warm-up, 6" in text
    assert results.without_beginning().partial
    assert differences(results, ss.simulate(TOPOLOGY, TRAFFIC, trials=6, **GIVEN)) == []


def test_precision_that_is_interrupted_says_what_was_reached(interrupting_trial) -> None:
    results = ss.simulate(TOPOLOGY, TRAFFIC, precision=1e-4, **GIVEN)
    (caution,) = results.unreached
    assert "of its value after 6 trials, when it was interrupted, asked for" in caution.text
    assert caution.numbers["trials"] == 6
    assert "more trials" not in caution.text


# Frozen ---------------------------------------------------------------------------------------


def test_results_are_frozen() -> None:
    results = ss.simulate(TOPOLOGY, TRAFFIC, duration=4.0)
    before = results.to_dict()
    for name in ("confidence", "engine", "recordings", "topology", "partial", "latency", "x"):
        with pytest.raises(AttributeError, match=f"Results is frozen: cannot assign to '{name}'"):
            setattr(results, name, None)
    with pytest.raises(AttributeError, match="cannot delete"):
        del results.topology
    recording = results.recordings[0]
    for array in (
        recording.arrived, recording.station["busy"], recording.latency_cells,
        recording.spec.boundaries, results.flow, results.station, results.utilization,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    assert results.to_dict() == before
    assert pickle.loads(pickle.dumps(results)).to_dict() == before


def test_analytic_results_are_frozen() -> None:
    results = ss.simulate(TOPOLOGY, TRAFFIC, duration=4.0, engine="analytic")
    with pytest.raises(AttributeError, match="AnalyticResults is frozen: cannot assign to 'x'"):
        results.x = 1
    assert results.second_state is None
