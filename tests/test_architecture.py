"""The rules of the house, as tests: layers, exports, import cost, file sizes, docs' paths.

Each rule is written down for people in `docs/explanation/architecture.md` and in
`docs/contributing/style.md`; a rule that only stands there is soon broken.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scalesim"
MODULES = sorted(PACKAGE.rglob("*.py"))
ARCHITECTURE = ROOT / "docs" / "explanation" / "architecture.md"

MAX_LINES = 400
MAX_PUBLIC_NAMES = 40
MAX_IMPORT_TIME = 0.3  # s
LAZY = ("matplotlib", "numba", "pandas", "scipy", "simpy")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def run_python(code: str, *, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def in_fresh_python(code: str) -> object:
    """Run `code`, which prints one JSON value, in a new interpreter."""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- layers ---


def contracts() -> dict[str, dict]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract for contract in config["tool"]["importlinter"]["contracts"]}


def test_import_contracts_are_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    report = capsys.readouterr().out
    assert status == 0, report
    assert f"{len(contracts())} kept, 0 broken" in report


def test_layers_are_exhaustive_and_required() -> None:
    layers = contracts()["layers"]
    assert layers["exhaustive"] is True
    assert not layers.get("ignore_imports")
    assert not layers.get("exhaustive_ignores")
    assert not [layer for layer in layers["layers"] if "(" in layer], "no layer is optional"


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("units.py", "import scalesim.studies", "Imports run only downward"),
        ("stray.py", "", "scalesim.stray"),
        ("policies/stray.py", "import numba", "Kernels and policies do not know numba"),
        ("engines/reference/stray.py", "import scalesim.engines.compiled", "do not import each"),
    ],
)
def test_import_contracts_bite(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    """A copy of the package with one forbidden line more is refused, and the line is named."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "scalesim", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "scalesim" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{source}\n")
    done = run_python(
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))",
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert complaint in " ".join(done.stdout.split())


# --- what `import scalesim` offers and costs ---


def test_import_is_light() -> None:
    loaded = in_fresh_python(
        "import json, sys, scalesim; print(json.dumps([n for n in sys.modules if '.' not in n]))"
    )
    assert isinstance(loaded, list)
    assert "scalesim" in loaded
    assert not set(LAZY) & set(loaded)


def test_import_is_quick() -> None:
    """The best of several, because the other test workers keep the machine busy."""
    code = (
        "import time; start = time.perf_counter(); import scalesim;"
        "print(time.perf_counter() - start)"
    )
    in_fresh_python(code)  # writes the bytecode
    times = [float(str(in_fresh_python(code))) for _ in range(7)]
    assert min(times) <= MAX_IMPORT_TIME, times


def test_public_names() -> None:
    import scalesim

    names = scalesim.__all__
    assert list(names) == sorted(set(names)), "__all__ is sorted and has no name twice"
    assert len(names) <= MAX_PUBLIC_NAMES
    assert [name for name in names if not hasattr(scalesim, name)] == []


def test_nothing_public_is_left_out_of_all() -> None:
    """Helpers that `scalesim/__init__.py` imports for itself are imported under a `_name`."""
    leaked = in_fresh_python(
        "import json, scalesim, types\n"
        "own = lambda v: isinstance(v, types.ModuleType) and v.__name__.startswith('scalesim.')\n"
        "ok = {*scalesim.__all__, 'annotations'}\n"
        "print(json.dumps([n for n, v in vars(scalesim).items()"
        " if not n.startswith('_') and n not in ok and not own(v)]))"
    )
    assert leaked == []


def test_names_for_type_checkers_are_those_that_load_when_first_used() -> None:
    """`scalesim/__init__.py` has them twice: type checkers do not follow `__getattr__`."""
    import scalesim

    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "_TYPE_CHECKING"
    imported = {
        name.asname: (node.module, name.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert imported == {
        name: (f"scalesim.{home}", name) for name, home in scalesim._HOME_OF.items()
    }


FIELDS = """
import numpy as np
import scalesim as ss

ss.Traffic(5, mix={"get": 1}, keys=ss.Zipf(100, 1), retry=ss.Retry(3, backoff=[1, 2], on="failed"))
ss.Traffic(rate=ss.RateProfile(np.ones(24), bucket=3600))
ss.LoadBalancer("edge", targets=["web", "other"], policy="random", weights={"web": 2})
ss.Database("db", connections=8, read=0.01, write=ss.Exponential(0.02))
web = ss.Service("web", workers=4, endpoints={"get": [ss.compute(0.01), ss.call("db.read")]})
reveal_type(web.endpoints)
reveal_type(ss.Database("db", connections=8).read)
ss.Traffic("5")
ss.LoadBalancer("edge", targets=5)
ss.Database("db", connection=8)
web.workers = 5
"""


def test_type_checkers_know_the_names_and_what_fields_take(tmp_path: Path) -> None:
    import scalesim

    names, fields = tmp_path / "names.py", tmp_path / "fields_.py"
    lines = ["import scalesim", *(f"reveal_type(scalesim.{name})" for name in scalesim.__all__)]
    names.write_text("\n".join(lines), encoding="utf-8")
    fields.write_text(FIELDS, encoding="utf-8")
    examples = sorted((ROOT / "examples").glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", names, fields, *examples],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = re.findall(r"(\w+)\.py:(\d+): (note|error): (.+)", done.stdout)
    types = [text for file, _, _, text in told if file == "names"]
    assert len(types) == len(scalesim.__all__), done.stdout + done.stderr
    pattern = re.compile(r'Revealed type is "(def |Overload\(def )')
    assert not [each for each in types if not pattern.match(each)]
    line = dict(enumerate(FIELDS.splitlines(), start=1))
    others = [(line.get(int(n), file), text) for file, n, _, text in told if file != "names"]
    kept = "".join(text for said, text in others if said.startswith("reveal_type"))
    assert "Endpoint" in kept and "Distribution" in kept and "float" not in kept
    wrong = list(dict.fromkeys(said for said, _ in others if not said.startswith("reveal_type")))
    at = line[max(n for n in line if line[n].startswith("reveal_type"))]
    expected = FIELDS.partition(at)[2].split("\n")
    assert wrong == [said for said in expected if said], done.stdout


def test_version_is_a_release_number() -> None:
    import scalesim

    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z]+\d+)?", scalesim.__version__)


# --- modules ---


def test_every_module_has_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    assert [relative(path) for path, tree in trees.items() if not ast.get_docstring(tree)] == []


def test_no_module_is_long() -> None:
    lengths = {relative(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    """Without `__init__.py` import-linter would not see it, and neither would the layers."""
    folders = {path.parent for path in MODULES}
    assert [relative(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_excuses_for_long_functions_name_an_issue() -> None:
    excuse = re.compile(r"#\s*noqa:.*\b(C901|PLR0915)\b")
    bare = []
    for path in MODULES:
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                comment = token.string if token.type == tokenize.COMMENT else ""
                if excuse.search(comment) and not re.search(r"issue \d+", comment):
                    bare.append(f"{relative(path)}:{token.start[0]}")
    assert bare == []


# --- tests and docs ---


def defined_tests(tree: ast.Module) -> Iterator[str]:
    """Yield the names of what pytest would run if it looked into this module."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree.body:
        if isinstance(node, functions) and node.name.startswith("test"):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, functions) and item.name.startswith("test"):
                    yield f"{node.name}.{item.name}"


def test_every_file_with_tests_is_collected(pytestconfig: pytest.Config) -> None:
    patterns = pytestconfig.getini("python_files")
    skipped_folders = pytestconfig.getini("norecursedirs")
    missed = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tests = list(defined_tests(ast.parse(path.read_text(encoding="utf-8"))))
        named = any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)
        reached = not any(
            fnmatch.fnmatch(folder, pattern)
            for folder in path.relative_to(ROOT).parts[:-1]
            for pattern in skipped_folders
        )
        if tests and not (named and reached):
            missed.append(f"{relative(path)}: {tests[0]}")
        missed += [
            f"{relative(path)}: {name} (pytest looks only into classes named Test...)"
            for name in tests
            if "." in name and not name.startswith("Test")
        ]
    assert missed == []


def section(markdown: str, title: str) -> str:
    """Return the text under a heading, up to the next heading of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(title)}[^\n]*\n", markdown, re.MULTILINE)
    assert found, f"no heading {title!r}"
    rest = markdown[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def test_reading_order_exists() -> None:
    """A word in backticks that has a slash or a file's ending is a path from the top folder."""
    text = section(ARCHITECTURE.read_text(encoding="utf-8"), "Reading order")
    words = [word for quoted in re.findall(r"`([^`\n]+)`", text) for word in quoted.split()]
    is_path = re.compile(r"[\w.-]+/[\w./-]*|[\w.-]+\.(py|md|ya?ml|toml|ipynb|csv)")
    paths = [word for word in words if is_path.fullmatch(word)]
    assert len(paths) >= 5, "the reading order names the files to read, in backticks"
    assert [path for path in paths if not (ROOT / path).exists()] == []
