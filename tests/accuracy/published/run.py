"""Published figures and practitioners' questions, against the library.

``python tests/accuracy/published/run.py [GLOB]`` prints every figure; the exit status is 1 if one
is wrong.
"""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from accuracy.published.models import CASES, UNSUPPORTED, run


def main(pattern: str = "*") -> int:
    names = fnmatch.filter(CASES, pattern)
    failed = 0
    for name in names:
        rows = run(name)
        failed += not all(holds for _, _, holds in rows)
        for figure, verdict, holds in rows:
            interval = f" ± {verdict.half:.3g}" if verdict.half else ""
            got = f"{verdict.got:.6g}" if isinstance(verdict.got, float) else verdict.got
            state = "ok" if holds else f"WRONG {verdict.why}"
            print(f"{name:34} {figure:44} {verdict.expected!s:>12} {got}{interval}  {state}",
                  flush=True)  # fmt: skip
    lacking = fnmatch.filter(UNSUPPORTED, pattern)
    for name in lacking:
        print(f"{name:34} unsupported: {UNSUPPORTED[name]}")
    print(f"{len(names) - failed} passed, {failed} failed, {len(lacking)} unsupported")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
