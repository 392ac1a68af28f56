"""Published figures and practitioners' questions: ``python tests/accuracy/published/run.py``

Prints every figure beside what is expected, and ends with ``N passed, N failed, N unsupported``.
The exit status is 1 if a figure is wrong; what is unsupported is named, and is no failure.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from accuracy.published.models import cases
from accuracy.suite import Effort, last_line, lines, power, run_all


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", metavar="GLOB", help="cases by id or family")
    parser.add_argument("--budget", type=float, default=20.0, metavar="SECONDS", help="of one case")
    parser.add_argument("--scale", type=float, default=1.0, help="first effort; more as needed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)

    chosen = [
        case
        for case in cases()
        if fnmatch.fnmatch(case.name, options.only) or fnmatch.fnmatch(case.family, options.only)
    ]
    outcomes = []
    for outcome in run_all(chosen, options.budget, Effort(scale=options.scale, seed=options.seed)):
        outcomes.append(outcome)
        print("\n".join(lines(outcome)), flush=True)
    print(f"\n{power(outcomes)}\n{last_line(outcomes)}")
    return int(any(each.state == "failed" for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
