"""Cases with a known right answer, against the library: ``python tests/accuracy/run.py FILE...``

Without files: all cases, those known from theory (`cases/`) and the figures published elsewhere
(`published/cases.json`, which may be named as a file, too). Each case's model is translated into a
topology and traffic, run until precise, and compared with what is expected. What the library cannot
express is called unsupported, by the name of the word. The exit status is 0 if every case passed,
and 1 if one failed or, unless that is allowed, is unsupported.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accuracy.published.models import cases as published_cases
from accuracy.suite import FIRST_SCALE, Effort, Outcome, last_line, lines, page, power, run_all
from accuracy.theory import read_cases

from scalesim.run import warm_up_engine

HERE = Path(__file__).resolve().parent
CASES, PUBLISHED = HERE / "cases", HERE / "published" / "cases.json"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="case files; all known if absent")
    parser.add_argument("--only", default="*", metavar="GLOB", help="cases by id or family")
    parser.add_argument("--engine", choices=sorted(FIRST_SCALE), default="compiled")
    parser.add_argument(
        "--budget", type=float, default=20.0, metavar="SECONDS",
        help="processor time of a case on average: what easy ones leave goes to the hard ones",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=float, help="first effort, times what the case suggests; more as needed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="also write the table as Markdown"
    )
    parser.add_argument(
        "--unsupported-ok", action="store_true", help="exit status 0 if no case failed"
    )
    options = parser.parse_args(arguments)
    files = options.files or [*sorted(CASES.glob("*.json")), PUBLISHED]
    cases = [
        case
        for file in files
        for case in (published_cases() if file.resolve() == PUBLISHED else read_cases(file))
        if fnmatch.fnmatch(case.name, options.only) or fnmatch.fnmatch(case.family, options.only)
    ]
    if options.engine == "compiled":
        warm_up_engine()  # compiling is no part of a case's budget
    effort = Effort(options.engine, options.scale or FIRST_SCALE[options.engine], seed=options.seed)
    outcomes = []
    for outcome in run_all(cases, options.budget, effort):
        outcomes.append(outcome)
        if not options.json:
            print("\n".join(lines(outcome)), flush=True)
    if options.json:
        print(json.dumps([as_dict(each) for each in outcomes], indent=1))
    else:
        print(f"\n{power(outcomes)}\n{last_line(outcomes)}")
    if options.page:
        order = {case.name: place for place, case in enumerate(cases)}
        outcomes.sort(key=lambda each: order[each.case.name])
        told = f"This run: `--budget {options.budget:g} --scale {effort.scale:g}`, engine "
        intro = f"{INTRO}\n\n{told}{effort.engine}, seed {effort.seed}."
        options.page.write_text(page("Accuracy", intro, outcomes), encoding="utf-8")
    fine = {"passed", "unsupported"} if options.unsupported_ok else {"passed"}
    return 0 if all(each.state in fine for each in outcomes) else 1


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data."""
    rows = [
        {"metric": row.metric, "analytic": row.analytic}
        | {field: _plain(value) for field, value in dataclasses.asdict(row.verdict).items()}
        for row in outcome.rows
    ]
    case = {"case": outcome.case.name, "family": outcome.case.family}
    return {**case, "state": outcome.state, "why": outcome.why, "figures": rows}


def _plain(value: Any) -> Any:
    """Return a value that JSON has: no kind of numpy's, and None for what is no number."""
    value = getattr(value, "item", lambda: value)()
    return None if isinstance(value, float) and not math.isfinite(value) else value


INTRO = """Every case in `tests/accuracy/cases` has an answer that is known from theory: a formula,
a Markov chain solved numerically, or plain arithmetic. Those that follow them in the table, from
`tests/accuracy/published`, are figures printed elsewhere and questions asked by practitioners, with
their sources in its `cases.json`. Each is turned into a topology and traffic, simulated until it is
precise, and compared. `make accuracy` writes this page.

*Simulated* is the interval over independent trials. *Detects* is the smallest relative error of the
figure that would have been called wrong with probability 99 %. *Analytic* is what the analytic
engine says, where it answers. Traces without chance have no interval: they must be equal. A figure
that was printed rounded, or measured, may be off by the tolerance that its case states as well, so
that 2 % seldom show there."""


if __name__ == "__main__":
    sys.exit(main())
