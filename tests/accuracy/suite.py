"""The suite: cases are run until precise, judged, and written down. It knows no queueing words.

A case is a name, a family, what is expected, and a function that measures. The suite calls that
function with ever more effort until every figure is precise enough or the budget is spent.
"""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy.judge import AIM, FALSE_ALARM, Expected, Verdict, judge
from accuracy.words import Unsupported

from scalesim.errors import InternalError, ScalesimError

__all__ = [
    "FIRST_SCALE",
    "TRIALS",
    "Case",
    "Effort",
    "Outcome",
    "Reading",
    "Row",
    "family_powers",
    "last_line",
    "lines",
    "page",
    "power",
    "run_all",
    "run_case",
]

TRIALS = 40
FIRST_SCALE = {"compiled": 1.0, "reference": 0.005, "analytic": 1.0}
MOST_SCALE = 200.0

OURS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""Errors that nothing in a case may raise: those of these tests, or of the library."""


@dataclass(frozen=True)
class Effort:
    """How much to simulate: `scale` times what the case suggests, over `trials`, on an engine.

    With `beside`, the analytic engine is asked, too.
    """

    engine: str = "compiled"
    scale: float = 1.0
    trials: int = TRIALS
    seed: int = 1
    beside: bool = True


@dataclass(frozen=True)
class Reading:
    """What was measured of one metric.

    Parameters
    ----------
    values : one for each independent trial; a single one has no chance in it
    resolution : relative error of the reading, at most (histograms)
    analytic : what the analytic engine says, None if it does not answer
    """

    values: Sequence[Any]
    resolution: float = 0.0
    analytic: Any = None


@dataclass(frozen=True)
class Case:
    """A model with a known right answer.

    Parameters
    ----------
    name, family : str
    expected : mapping of metric to what is right
    measure : function of the effort that returns a reading of each metric
    """

    name: str
    family: str
    expected: dict[str, Expected]
    measure: Callable[[Effort], dict[str, Reading]]


@dataclass(frozen=True)
class Row:
    """One figure of a case: a line of the table."""

    case: str
    family: str
    metric: str
    verdict: Verdict
    analytic: Any = None


@dataclass(frozen=True)
class Outcome:
    """What became of a case: ``passed``, ``failed`` or ``unsupported`` (then `why` names what).

    Parameters
    ----------
    seconds : float [s of processor time]
        Of the last and largest simulation.
    scale : float
        Its effort.
    factor : float
        How many times that effort would make every figure precise; 1 if all are.
    """

    case: Case
    state: str
    rows: tuple[Row, ...] = ()
    why: str = ""
    seconds: float = 0.0
    scale: float = 0.0
    factor: float = 1.0

    @property
    def decided(self) -> bool:
        """Whether more effort would not change the state."""
        return self.state != "failed" or any(row.verdict.wrong for row in self.rows)


def run_case(case: Case, figures: int, budget: float, effort: Effort) -> Outcome:
    """Run one case until its figures are precise or `budget` is spent; judge it.

    Parameters
    ----------
    figures : of the whole suite, which share its one false alarm in a hundred
    budget : float [s of processor time]
        At least one simulation is made.
    """
    start = time.process_time()
    while True:
        begun = time.process_time()
        try:
            rows = _judged(case, case.measure(effort), figures)
        except Unsupported as error:
            return Outcome(case, "unsupported", why=str(error))
        except (InternalError, *OURS) as error:  # the model was understood: no matter of words
            at = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{_told(error)} ({Path(at.filename).name}:{at.lineno})"
            return Outcome(case, "failed", why=why, scale=effort.scale)
        except ScalesimError as error:
            return Outcome(case, "unsupported", why=_told(error))
        now = time.process_time()
        factor = _factor_needed(rows)
        affordable = (start + budget - now) / (now - begun)
        if factor <= 1 or affordable < 1.5 or effort.scale >= MOST_SCALE:
            break
        effort = _more(effort, min(factor, affordable))
    state = "passed" if all(row.verdict.ok for row in rows) else "failed"
    why = "; ".join(f"{r.metric} {r.verdict.why}" for r in rows if not r.verdict.ok)
    factor = 1.0 if effort.scale >= MOST_SCALE else factor
    return Outcome(case, state, tuple(rows), why, now - begun, effort.scale, factor)


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _more(effort: Effort, times: float) -> Effort:
    return dataclasses.replace(effort, scale=min(effort.scale * times, MOST_SCALE))


def _judged(case: Case, readings: dict[str, Reading], figures: int) -> list[Row]:
    return [
        Row(
            case.name,
            case.family,
            metric if expected.figures == 1 else f"{metric}[{i}]",
            verdict,
            _element(readings[metric].analytic, i),
        )
        for metric, expected in case.expected.items()
        for i, verdict in enumerate(
            judge(expected, readings[metric].values, figures, readings[metric].resolution)
        )
    ]


def _element(analytic: Any, i: int) -> Any:
    return analytic[i] if isinstance(analytic, (list, tuple)) else analytic


def _factor_needed(rows: Iterable[Row]) -> float:
    """Return how many times the requests would make every figure precise; 1 if all are."""
    factors = [row.verdict.excess**2 * 1.2 for row in rows if row.verdict.excess > 1]
    return max(factors, default=1.0)


def run_all(cases: Sequence[Case], budget: float, effort: Effort) -> Iterator[Outcome]:
    """Run all cases, with intervals that together raise a false alarm once in a hundred times.

    Each case has `budget` seconds of processor time. What the easy ones leave goes to those that
    are not precise by then: first to those that have no verdict, the cheapest first.
    """
    figures = sum(each.figures for case in cases for each in case.expected.values())
    start, hard = time.process_time(), []
    for case in cases:
        outcome = run_case(case, figures, budget, effort)
        if outcome.factor > 1:
            hard.append(outcome)
        else:
            yield outcome
    hard.sort(key=lambda each: (each.decided, each.seconds * each.factor))
    for i, outcome in enumerate(hard):
        left = start + budget * len(cases) - time.process_time()
        if outcome.decided:
            left /= len(hard) - i
        times = min(outcome.factor, left / outcome.seconds)
        if times > 1.5:
            more = _more(dataclasses.replace(effort, scale=outcome.scale), times)
            outcome = run_case(outcome.case, figures, left, more)
        yield outcome


# Writing down -----------------------------------------------------------------------------------


def last_line(outcomes: Sequence[Outcome]) -> str:
    """Return ``N passed, N failed, N unsupported``."""
    states = [each.state for each in outcomes]
    return ", ".join(f"{states.count(s)} {s}" for s in ("passed", "failed", "unsupported"))


def power(outcomes: Sequence[Outcome]) -> str:
    """Return how large an error the run would have caught."""
    rows = [row for each in outcomes for row in each.rows]
    means = sorted(
        row.verdict.detects
        for row in rows
        if row.verdict.half and not math.isnan(row.verdict.detects)
    )
    if not means:
        return "Every figure is exact: no interval was needed."
    caught = sum(detects <= AIM for detects in means)
    return (
        f"{len(rows)} figures, {len(rows) - len(means)} of them without chance or bounds. Each "
        f"interval has the false-alarm probability {FALSE_ALARM} / figures: a suite that is right "
        f"fails at most once in {1 / FALSE_ALARM:.0f} runs (Bonferroni, whatever the dependence). "
        f"Of {len(means)} figures with an interval, "
        f"{caught} would have failed with probability 99 % if they were wrong by {AIM:.0%}; the "
        f"median detects {means[len(means) // 2]:.2%}, nine in ten "
        f"{means[len(means) * 9 // 10]:.2%}, the widest {means[-1]:.2%}."
    )


def family_powers(outcomes: Sequence[Outcome]) -> list[tuple[str, int, float, float]]:
    """Return for each family how likely a mean that is wrong by `AIM` would have failed.

    Each row is (family, means, chance of the least sure mean, chance on average). A mean that is
    expected only in a limit has that distance as tolerance, and is seldom sure.
    """
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        chances = [row.verdict.power for row in outcome.rows]
        found.setdefault(outcome.case.family, []).extend(x for x in chances if not math.isnan(x))
    return [
        (family, len(chances), min(chances), sum(chances) / len(chances))
        for family, chances in found.items()
        if chances
    ]


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield a case's lines for a terminal."""
    mark = {"passed": "ok", "failed": "FAILED", "unsupported": "--"}[outcome.state]
    effort = f"  ({outcome.scale:.3g} x, {outcome.seconds:.1f} s)" if outcome.rows else ""
    yield f"{mark:6s} {outcome.case.name}{effort}{'  ' + outcome.why if outcome.why else ''}"
    for row in outcome.rows:
        v = row.verdict
        yield (
            f"       {row.metric:44s} {number(v.expected):>14s} {number(v.got):>14s} "
            f"± {number(v.half):10s} {percent(v.detects):>8s}  {'' if v.ok else v.why}"
        )


def number(value: Any) -> str:
    """Return a value with six digits."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    return f"{value:.6g}"


def percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2%}"


def page(title: str, intro: str, outcomes: Sequence[Outcome]) -> str:
    """Return a Markdown page of all figures."""
    out = [f"# {title}", "", intro, "", f"**{last_line(outcomes)}.**", ""]
    out += ["| family | case | figure | expected | simulated | detects | analytic | verdict |"]
    out += ["|---|---|---|---|---|---|---|---|"]
    for outcome in outcomes:
        for row in outcome.rows:
            v = row.verdict
            interval = f"{number(v.got)} ± {v.half:.2g}" if v.half else number(v.got)
            analytic = "" if row.analytic is None else number(row.analytic)
            out.append(
                f"| {row.family} | {row.case} | `{row.metric}` | {number(v.expected)} "
                f"| {interval} | {percent(v.detects)} | {analytic} | {'right' if v.ok else v.why} |"
            )
    missing = [each for each in outcomes if each.state == "unsupported"]
    if missing:
        out += [
            "",
            "## What cannot be expressed",
            "",
            "| family | case | what is missing |",
            "|---|---|---|",
        ]
        out += [
            f"| {e.case.family} | {e.case.name} | {e.why.splitlines()[0].replace('|', ' or ')} |"
            for e in missing
        ]
    out += [
        "",
        "## How sure",
        "",
        f"{power(outcomes)} For each family: the probability that a mean would have been called "
        f"wrong if it were {AIM:.0%} off, with the intervals that this run got.",
        "",
        "| family | means | least sure | on average |",
        "|---|---|---|---|",
    ]
    out += [
        f"| {family} | {count} | {least:.1%} | {average:.1%} |"
        for family, count, least, average in family_powers(outcomes)
    ]
    return "\n".join(out) + "\n"
