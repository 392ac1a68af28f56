"""What the README and the docs say is true: code runs, files parse, paths exist, Sphinx is content.

`make docs` builds the pages with their cells executed. Here the cells run in one process, page by
page, and Sphinx (where it is installed) checks the pages without executing them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scalesim.io import parse_model

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not {"_build", "jupyter_execute"} & set(path.relative_to(DOCS).parts)
)
TEXTS = [README, *PAGES]
CODE_PAGES = [path for path in PAGES if "{code-cell}" in path.read_text(encoding="utf-8")]
FOLDERS = "docs|examples|models|notebooks|scalesim|tests"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, ``python`` or ``{code-cell} python``."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(code: list[str], title: str, folder: Path) -> str:
    """Run cells one after another as a script; a bare expression at the end is just evaluated."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, f"{title}\n{done.stderr}"
    return done.stdout


def test_python_of_readme(tmp_path: Path) -> None:
    (code,) = blocks(README, "python")
    printed = run([code], "README.md", tmp_path)
    assert "bottleneck:" in printed
    assert "first: at" in printed


def test_yaml_of_readme() -> None:
    (text,) = blocks(README, "yaml")
    model = parse_model(text, "README.md")
    assert model.traffic is not None
    assert model.growth is not None
    assert model.objective is not None


def test_python_and_yaml_of_readme_are_one_model(tmp_path: Path) -> None:
    (text,) = blocks(README, "yaml")
    (code,) = blocks(README, "python")
    described = code[: code.index("print(")]
    (tmp_path / "shop.yaml").write_text(text, encoding="utf-8")
    check = "assert ss.read_model('shop.yaml').topology == shop"
    run([described, check], "README.md", tmp_path)


@pytest.mark.parametrize("path", CODE_PAGES, ids=name)
def test_cells_of_page(path: Path, tmp_path: Path) -> None:
    assert run(blocks(path, "{code-cell} python"), name(path), tmp_path)


def test_yaml_of_reference_parses() -> None:
    (text,) = blocks(DOCS / "reference" / "model_file.md", "yaml")
    assert parse_model(text, "model_file.md").topology.entry == "web"


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_paths_exist(path: Path) -> None:
    """A path from the top folder in backticks, and the target of a relative link, exist."""
    text = path.read_text(encoding="utf-8")
    quoted = {
        word.rstrip(".,")
        for span in re.findall(r"`([^`\n]+)`", text)
        for word in span.split()
        if re.fullmatch(rf"({FOLDERS})/[\w./-]*", word)
    }
    missing = [each for each in sorted(quoted) if not (ROOT / each).exists()]
    links = re.findall(r"\]\(([^)\s#:]+)(?:#[\w-]*)?\)", text)
    missing += [each for each in links if not (path.parent / each).exists()]
    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_page_is_in_a_table_of_contents(path: Path) -> None:
    if path == DOCS / "index.md":
        return
    for index in (DOCS / "index.md", path.parent / "index.md"):
        if index.exists():
            entries = "\n".join(blocks(index, "{toctree}")).splitlines()
            target = path.relative_to(index.parent).with_suffix("").as_posix()
            if target in entries:
                return
    raise AssertionError("no toctree lists this page")


def test_sphinx_has_no_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("sphinx") is None or importlib.util.find_spec("myst_nb") is None:
        pytest.skip("Sphinx and myst-nb are not installed; `make docs` installs and runs them")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"),
            *(
                "-D",
                "nb_execution_mode=off",
                "-D",
                "suppress_warnings=myst-nb.lexer",
                str(DOCS),
                str(tmp_path / "html"),
            ),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
