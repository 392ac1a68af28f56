"""The one entry point: ``simulate(topology, traffic, ...) -> Results``.

It checks the arguments, lowers the model to a plan, lets an engine run the trials, and hands the
recordings to `Results`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from scalesim.engines.base import Engine, Progress
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.kernels.draws import GOLDEN, MASK, mix
from scalesim.plan import Plan, build_plan, require_fit
from scalesim.recording import Recording, RunSpec
from scalesim.results import Results
from scalesim.results.precision import until_precise
from scalesim.run_arguments import ENGINES, check_arguments
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic

if TYPE_CHECKING:
    from scalesim.engines.analytic import AnalyticResults

__all__ = ["ENGINES", "simulate", "trial_seed", "warm_up_engine"]

_WARMUP_BUCKETS, _MEASURED_BUCKETS = 8, 72
"""All of one length if the warm-up is a tenth; 72 buckets make 6, 9, 12, 18 or 24 equal batches."""


@overload
def simulate(
    topology: Topology,
    traffic: AnyTraffic,
    *,
    duration: float,
    warmup: float | str | None = ...,
    trials: int = ...,
    seed: int = ...,
    engine: Literal["analytic"],
    record_requests: int = ...,
    progress: bool | None = ...,
) -> AnalyticResults: ...
@overload
def simulate(
    topology: Topology,
    traffic: AnyTraffic,
    *,
    duration: float,
    warmup: float | str | None = ...,
    trials: int = ...,
    seed: int = ...,
    engine: Literal["compiled", "reference"] = ...,
    record_requests: int = ...,
    record_keys: int = ...,
    progress: bool | None = ...,
    precision: float | None = ...,
    precision_of: str | Sequence[str] = ...,
    max_trials: int = ...,
) -> Results: ...
@overload
def simulate(
    topology: Topology,
    traffic: AnyTraffic,
    *,
    duration: float,
    warmup: float | str | None = ...,
    trials: int = ...,
    seed: int = ...,
    engine: str = ...,
    record_requests: int = ...,
    record_keys: int = ...,
    progress: bool | None = ...,
    precision: float | None = ...,
    precision_of: str | Sequence[str] = ...,
    max_trials: int = ...,
) -> Results | AnalyticResults: ...
def simulate(
    topology: Topology,
    traffic: AnyTraffic,
    *,
    duration: float,
    warmup: float | str | None = None,
    trials: int = 1,
    seed: int = 1,
    engine: str = "compiled",
    record_requests: int = 0,
    record_keys: int = 0,
    progress: bool | None = None,
    precision: float | None = None,
    precision_of: str | Sequence[str] = "latency_mean_s",
    max_trials: int = 200,
) -> Results | AnalyticResults:
    """Simulate `topology` under `traffic` and return what happened.

    Parameters
    ----------
    topology : Topology
    traffic : Traffic, ClosedTraffic or ReplayTraffic
    duration : float [s, above 0 and at most 8e9]
        Simulated time; until 8e9 s the clock, a float, tells apart what is 1 µs apart.
    warmup : float [s, 0 <= warmup < duration] or "auto", optional
        Time before measuring starts; by default a tenth of the duration. ``"auto"``: longer if the
        beginning lasts longer (by MSER, of latency and of what waits). A run that does not leave
        its beginning in its first half says so in `Results.warnings`.
    trials : int [1 .. 10000]
        Independent runs with other seeds, in threads.
    seed : int [>= 0]
        The same seed gives the same numbers, and two models the same luck.
    engine : {"compiled", "reference", "analytic"}
        If the compiled engine lacks something the model needs, the reference engine runs and the
        results say so. The analytic engine simulates nothing: it answers at once by queueing
        theory, labels each figure exact, approximate or a bound, and refuses what it does not
        cover; of the other arguments it reads `duration` and `warmup`, for rates that change.
    record_requests : int [>= 0]
        Keep times and outcome of each trial's first so many requests.
    record_keys : int [>= 0]
        Count hits and stale reads by key, for the so many most popular keys; see
        `Results.keys_table`.
    progress : bool, optional
        Show a progress bar; by default for long runs in a terminal or notebook. Ctrl-C stops the
        run, and what was computed is returned, marked partial: the trials that are whole, or, if
        none is, as far as they came.
    precision : float, optional [ratio, above 0 and below 1]
        Run further trials, at least 5 in all, until the 95 % interval of each metric of
        `precision_of` is within so much of its value, up and down. If `max_trials` do not
        suffice, `Results.warnings` names the metric and what was reached.
    precision_of : str or sequence of str
        Names of metrics: see `Results.estimate`.
    max_trials : int [1 .. 10000]
        The most trials that `precision` may take.

    Returns
    -------
    Results or AnalyticResults

    Raises
    ------
    InvalidModel
        The traffic does not fit the topology.
    InvalidInput
        An argument is out of range.
    UnsupportedByEngine
        The analytic engine does not cover something in the model; the message names it.

    Examples
    --------
    >>> import scalesim as ss
    >>> server = ss.Service("server", endpoints={"get": [ss.compute(ss.ms(5))]})
    >>> results = ss.simulate(ss.Topology(server, entry="server"), ss.Traffic(100.0), duration=60)
    >>> round(results.throughput)
    100
    """
    detect = warmup == "auto"
    if (detect or warmup is None) and isinstance(duration, (int, float)):
        warmup = duration / 10
    precision_of = (precision_of,) if isinstance(precision_of, str) else tuple(precision_of)
    whole = {
        "trials": trials,
        "seed": seed,
        "record_requests": record_requests,
        "record_keys": record_keys,
        "max_trials": max_trials,
    }
    check_arguments(topology, traffic, duration, warmup, engine, precision, whole)
    assert warmup is not None
    assert not isinstance(warmup, str)
    if engine == "analytic":
        from scalesim.engines.analytic import solve

        require_fit(topology, traffic)
        return solve(topology, traffic, warmup, duration)
    plan = build_plan(topology, traffic)
    runner, notices = _engine_for(plan, engine)
    boundaries, warm = _boundaries(warmup, duration)

    def run(first: int, end: int) -> list[Recording]:
        specs = [
            RunSpec(trial_seed(seed, trial), boundaries, warm, record_requests, record_keys)
            for trial in range(first, end)
        ]
        return _run_all(runner, plan, specs, progress)

    def read(recordings: list[Recording], asked: int) -> Results:
        kept = _kept(recordings)
        left_out = asked - len(kept)
        results = Results(topology, traffic, kept, runner.name, notices, left_out=left_out)
        return results.without_beginning() if detect else results

    if precision is None:
        return read(run(0, trials), trials)
    return until_precise(run, read, precision, precision_of, trials, max_trials)


def _kept(recordings: list[Recording]) -> list[Recording]:
    """Return the trials that make the figures: after an interruption the whole ones, if any.

    Trials of different length can't be read as samples of one thing, and one that ended in its
    warm-up measured nothing.
    """
    return [each for each in recordings if not each.partial] or recordings


def _boundaries(warmup: float, duration: float) -> tuple[np.ndarray, int]:
    """Return the ends of the buckets of time [s], and how many precede the measured window."""
    warm = _WARMUP_BUCKETS if warmup > 0 else 0
    parts = [
        np.linspace(0, warmup, warm + 1)[1:],
        np.linspace(warmup, duration, _MEASURED_BUCKETS + 1)[1:],
    ]
    return np.concatenate(parts), warm


def trial_seed(seed: int, trial: int) -> int:
    """Return the 64 well-mixed bits that seed one trial."""
    return mix((mix((seed * GOLDEN) & MASK) + (trial + 1) * GOLDEN) & MASK)


def warm_up_engine() -> bool:
    """Compile the compiled engine if this machine has not; return whether it had to."""
    from scalesim.engines.compiled import kernel

    cached = kernel.kernel_is_cached()
    _announce_compilation()
    _ENGINE_READY.clear()
    from scalesim.components import Endpoint, Service, compute
    from scalesim.traffic import Traffic

    tiny = Topology(Service("warm", endpoints={"up": Endpoint((compute(0.001),))}), entry="warm")
    plan = build_plan(tiny, Traffic(rate=1.0))
    _make("compiled").run(plan, RunSpec(1, np.asarray([1.0]), 0))
    kernel.mark_cached()
    return not cached


_ENGINE_READY = threading.Event()


def _announce_compilation() -> None:
    from scalesim.engines.compiled import kernel

    if not _ENGINE_READY.is_set() and not kernel.kernel_is_cached():
        _say("compiling the engine once, about a minute")


def _say(text: str) -> None:
    sys.stderr.write(f"scalesim: {text}\n")
    sys.stderr.flush()


def _make(name: str) -> Engine:
    if name == "reference":
        from scalesim.engines.reference import ReferenceEngine

        return ReferenceEngine()
    from scalesim.engines.compiled import CompiledEngine

    return CompiledEngine()


def _engine_for(plan: Plan, name: str) -> tuple[Engine, list[str]]:
    """Return the engine, and a notice if it is not the one asked for."""
    engine = _make(name)
    reasons = engine.unsupported(plan)
    if not reasons:
        return engine, []
    if name != "compiled":
        raise UnsupportedByEngine([Problem(f"engine {name}", reason) for reason in reasons])
    notice = f"NOTICE: run by the reference engine, because {'; '.join(reasons)}"
    _say(notice)
    return _make("reference"), [notice]


def _run_all(
    engine: Engine, plan: Plan, specs: list[RunSpec], show: bool | None
) -> list[Recording]:
    """Run all trials, in threads if there are several; Ctrl-C keeps those that have begun."""
    if engine.name == "compiled":
        from scalesim.engines.compiled import kernel

        _announce_compilation()
    stop = threading.Event()
    workers = min(len(specs), 2 if engine.name == "compiled" else 1)
    jobs = []
    # Also a single trial runs in a thread of its own, so that Ctrl-C reaches us at once.
    with _Bar(specs, show) as moved, ThreadPoolExecutor(workers) as pool:
        try:
            for index, spec in enumerate(specs):
                report = _reporter(moved, index, stop)
                jobs.append(pool.submit(engine.run, plan, spec, report))
            wait(jobs)
        except KeyboardInterrupt:
            stop.set()
            for job in jobs:
                job.cancel()
            if not jobs:
                raise
        recordings = [job.result() for job in jobs if not job.cancelled()]
    if engine.name == "compiled" and not _ENGINE_READY.is_set():
        kernel.mark_cached()
        _ENGINE_READY.set()
    if not recordings:
        raise KeyboardInterrupt
    begun = [each for each in recordings if each.ended_at > 0]
    return begun or recordings[:1]


def _reporter(moved: Callable[[int, float], None], index: int, stop: threading.Event) -> Progress:
    def report(now: float) -> bool:
        moved(index, now)
        return stop.is_set()

    return report


class _Bar:
    """A progress bar over the simulated time of all trials; silent unless wanted."""

    def __init__(self, specs: list[RunSpec], show: bool | None) -> None:
        wanted = sys.stderr.isatty() if show is None else show
        self.total = sum(spec.duration for spec in specs)
        self.at = [0.0] * len(specs)
        self.bar = None
        if wanted:
            from tqdm.auto import tqdm

            form = "{l_bar}{bar}| {n:.0f}/{total:.0f} simulated s [{elapsed}<{remaining}]"
            delay = 1.0 if show is None else 0.0
            self.bar = tqdm(total=self.total, delay=delay, leave=False, bar_format=form)

    def __enter__(self) -> Callable[[int, float], None]:
        return self.move

    def move(self, index: int, now: float) -> None:
        if self.bar is not None and now > self.at[index]:
            step, self.at[index] = now - self.at[index], now
            self.bar.update(step)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
