"""The long statistical battery: ``python tests/battery/long_draws.py [NUMBER OF DRAWS]``.

The checks of the tests on many more draws (16 million unless told), under the good mixer. Prints a
table; the exit status is 1 if anything is further out than the limit.
"""

from __future__ import annotations

import argparse
import sys
import time

from draw_battery import LIMIT, battery, good_bits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("draws", type=int, nargs="?", default=1 << 24, help="draws in each check")
    draws = parser.parse_args().draws
    begun = time.perf_counter()
    findings = battery(good_bits, draws)
    for each in findings:
        print(f"{each.name:50s} {each.deviation:+7.2f} {'' if each.ok else '  <-- FAILED'}")
    bad = sum(not each.ok for each in findings)
    seconds = time.perf_counter() - begun
    print(f"{draws:,} draws, {len(findings)} checks in {seconds:.0f} s: {bad} beyond {LIMIT:g} sd")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
