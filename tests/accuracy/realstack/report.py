"""Write what is predicted beside what was measured: ``python tests/accuracy/realstack/report.py``.

Writes `docs/reference/real_stack.md`; takes a minute or two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from accuracy.realstack.predict import RUNS, Comparison, by_laws, by_replay, replayable
from accuracy.realstack.stack import MISSING, Scenario, read_scenarios

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "real_stack.md"

HEAD = f"""# A real stack, predicted

Measured by this project: nginx in front of gunicorn instances with a fixed number of threads,
Redis, and PostgreSQL behind connection pools of fixed size, all on one machine. Steps sleep and
queries sleep for times drawn from known laws, so that queueing is real while the processors are
mostly idle. The measured files, with configuration, calibration and outcome, are in
`tests/accuracy/realstack/data/`.

Each scenario is posed as a user of that stack would, in `tests/accuracy/realstack/stack.py`:
configuration, and a calibration at low load that tells what each step takes beyond what was asked
and how much time passes outside the application. No number is fitted to the outcome. Two levels:

- **laws**: arrivals and demands drawn from their laws; the mean of {RUNS} runs as long as the
  measured ones. *Luck* is the standard error of the measured mean: the few repetitions measured
  drew arrivals and demands of their own, and this is how much their mean moves by that alone, as
  the simulated runs show.
- **replay**: the very arrivals and demands of each repetition, in their order. What is left is
  the machine's own noise and what the model leaves out.

Latencies are of answered requests, in milliseconds, quantiles exact. *Spread* is (max − min) /
mean of the measured repetitions. Scenarios marked **shown** are noisy or bound by the processor;
they are not held against a limit. The tests hold the others to {{limits}}.

"""


def main() -> int:
    """Write the page; the exit status is 1 if a prediction misses its limit."""
    text, missed = [], []
    for scenario in read_scenarios():
        if scenario.name in MISSING:
            continue
        text.append(f"## {scenario.name}: {scenario.title}\n")
        text.append("" if scenario.asserted else "**shown**, not asserted.\n")
        levels = {"laws": by_laws(scenario)}
        reason = replayable(scenario)
        if reason:
            text.append(f"No replay: {reason}.\n")
        else:
            levels["replay"] = by_replay(scenario)
        text.append(table(levels))
        for level, found in levels.items():
            missed += [f"{level}: {each}" for each in misses(scenario, level, found)]
        print(scenario.name, "done", flush=True)
    text.append("## Not posed\n")
    text += [f"- **{name}**: {feature}." for name, feature in MISSING.items()]
    head = HEAD.format(limits=LIMITS)
    PAGE.write_text(head + "\n".join(each for each in text if each) + "\n", encoding="utf-8")
    print("\n".join(missed) or "every prediction is within its limit")
    return 1 if missed else 0


LIMITS = (
    "5 % of the mean by laws (and three times the luck), to 3 % in a replay, to 10 % where threads "
    "are busy for more than 80 % of the time; latencies behind a cache to 1 ms"
)


def misses(scenario: Scenario, level: str, found: list[Comparison]) -> Iterator[str]:
    """Yield the means that are further off than the limit."""
    if not scenario.asserted:
        return
    for each in found:
        if each.figure not in ("mean", "throughput", "job wait"):
            continue
        allowed = (0.05 if level == "laws" else 0.03) * each.measured + 3 * each.uncertainty
        if scenario.busiest > 0.8:
            allowed = max(allowed, 0.10 * each.measured)
        if (
            each.figure == "mean"
            and "redis" in scenario.config
            and "consumers" not in scenario.config
        ):
            allowed = max(allowed, 1.0)
        if abs(each.predicted - each.measured) > allowed:
            yield (
                f"{scenario.name} {each.figure}: predicted {each.predicted:.4g}, measured "
                f"{each.measured:.4g}, allowed ± {allowed:.3g}"
            )


def table(levels: dict[str, list[Comparison]]) -> str:
    """Return one scenario's table: a row for each figure."""
    heads = ["figure", "measured", "spread", "laws", "off by", "luck"]
    if "replay" in levels:
        heads += ["replay", "off by"]
    rows = []
    for number, laws in enumerate(levels["laws"]):
        luck = f"{laws.uncertainty / laws.measured:.1%}" if laws.measured else "-"
        row = [laws.figure, f"{laws.measured:.4g}", f"{laws.spread:.1%}"]
        row += [f"{laws.predicted:.4g}", off_by(laws), luck]
        if "replay" in levels:
            replay = levels["replay"][number]
            row += [f"{replay.predicted:.4g}", off_by(replay)]
        rows.append(row)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def off_by(each: Comparison) -> str:
    """Return the relative error for a table."""
    return f"{each.error:+.1%}".replace("%", " %") if each.measured else "-"


if __name__ == "__main__":
    sys.exit(main())
