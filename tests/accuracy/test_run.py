"""One command runs theory's cases and the published ones into one table."""

from __future__ import annotations

from pathlib import Path

import pytest
from accuracy.run import CASES, PUBLISHED, main

SHORT = ["--budget", "0", "--scale", "0.01", "--only", "*token-bucket-*d"]
THEORY, ELSEWHERE = "| token-bucket-poisson-overload |", "| q-token-bucket-bound |"


def printed(page: Path, *files: Path) -> str:
    main([*map(str, files), *SHORT, "--page", str(page)])
    return page.read_text(encoding="utf-8")


def test_without_files_all_cases_are_in_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = printed(tmp_path / "page.md")
    assert 0 < table.index(THEORY) < table.index(ELSEWHERE)
    *_, last = capsys.readouterr().out.splitlines()
    assert f"**{last}.**" in table


def test_files_take_the_place_of_all_cases(tmp_path: Path) -> None:
    theory = printed(tmp_path / "theory.md", *CASES.glob("*.json"))
    assert THEORY in theory and ELSEWHERE not in theory
    elsewhere = printed(tmp_path / "elsewhere.md", PUBLISHED)
    assert THEORY not in elsewhere and ELSEWHERE in elsewhere
