"""The command line as a process: what it prints, its exit status, its messages for wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from scalesim.cli import main

ROOT = Path(__file__).parents[2]
SMALL = """
scalesim: 1
topology:
  entry: server
  components:
    server:
      {type: service, workers: 4, cores: 4, endpoints: {get: [{compute: {exponential: 50 ms}}]}}
traffic: {open: {rate: 40/s}}
objective: {latency: 400 ms}
growth: 5%/month
"""


def scalesim(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scalesim", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )


def refused(*arguments: str, cwd: Path = ROOT) -> str:
    """Return the message of a command that must refuse: status 2, no traceback, nothing printed."""
    done = scalesim(*arguments, cwd=cwd)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_help_names_every_command():
    text = scalesim("--help").stdout
    for command in ("simulate", "forecast", "traffic", "draw", "explain", "schema", "warmup"):
        assert command in text
        assert scalesim(command, "--help").returncode == 0


def test_forecast_prints_the_verdict_first(small: Path):
    done = scalesim("forecast", str(small), "--months", "14", "--requests", "20000")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("The workers of server break first")
    assert "in month 11" in first
    assert "Fix: server.instances" in first


def test_forecast_json_is_whole_and_has_units(small: Path):
    done = scalesim("forecast", str(small), "--months", "12", "--requests", "10000", "--json")
    data = json.loads(done.stdout)
    assert data["first_break"]["month"] in (10, 11, 12)
    assert 60 < data["first_break"]["rate_rps"] < 73
    assert len(data["by_month"]) == 13


def test_simulate_json(small: Path):
    done = scalesim("simulate", str(small), "--duration", "100 s", "--json")
    data = json.loads(done.stdout)
    assert data["requests"]["completed"] > 3000
    assert data["engine"] == "compiled"


def test_both_engines_print_the_same(small: Path):
    runs = [
        scalesim("simulate", str(small), "--duration", "20 s", "--engine", engine, "--json").stdout
        for engine in ("compiled", "reference")
    ]
    first, second = (json.loads(run) for run in runs)
    first.pop("engine"), second.pop("engine")
    assert first == second


def test_pictures_are_written(small: Path, tmp_path: Path):
    for arguments in (
        ("simulate", str(small), "--duration", "20 s"),
        ("forecast", str(small), "--months", "2", "--requests", "2000"),
        ("draw", str(small)),
    ):
        picture = tmp_path / f"{arguments[0]}.png"
        done = scalesim(*arguments, "--picture", str(picture))
        assert done.returncode == 0, done.stderr
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_written_though_nobody_reads_the_text(small: Path, tmp_path: Path):
    picture = tmp_path / "x.png"
    reader, writer = os.pipe()
    os.close(reader)
    command = ["simulate", str(small), "--duration", "20 s", "--picture", str(picture)]
    done = subprocess.run([sys.executable, "-m", "scalesim", *command], cwd=ROOT, stdout=writer)
    os.close(writer)
    assert done.returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_interrupt_before_anything_was_computed(small: Path, monkeypatch):
    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scalesim.io.read_model", interrupted)
    for command in ("simulate", "forecast", "explain", "draw"):
        done = CliRunner().invoke(main, [command, str(small)])
        assert done.exit_code == 130
        assert done.output == "scalesim: interrupted\n"


def test_a_picture_that_an_interruption_prevents_is_not_passed_over(small, tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scalesim.studies.breaking.simulate", interrupted)
    picture = tmp_path / "forecast.png"
    done = CliRunner().invoke(main, ["forecast", str(small), "--picture", str(picture)])
    assert done.exit_code == 130
    assert f"no picture written to {picture}: interrupted" in done.stderr
    assert "PARTIAL" in done.stdout
    assert not picture.exists()


def test_draw_prints_mermaid(small: Path):
    assert "server" in scalesim("draw", str(small)).stdout


def test_explain_answers_at_once(small: Path):
    text = scalesim("explain", str(small)).stdout
    assert "server.get" in text
    assert "at most 80/s (bound: bottleneck law)" in text
    assert "latency_p99_s" in text
    assert "SERVE" not in text
    figures = json.loads(scalesim("explain", str(small), "--json").stdout)
    assert figures["capacity_rps"] == pytest.approx(80.0)


def test_explain_shows_operations(small: Path):
    assert "SERVE" in scalesim("explain", str(small), "--operations").stdout


def test_explain_says_what_has_no_analytic_answer(small: Path):
    small.write_text(SMALL.replace("cores: 4,", "cores: 4, memory: 1 GiB,"))
    done = scalesim("explain", str(small))
    assert done.returncode == 0
    assert 'no analytic answer:\n  service "server": memory: ' in done.stdout
    assert 'service "server": memory' in refused("simulate", str(small), "--engine", "analytic")


def test_simulate_by_the_analytic_engine(small: Path):
    text = scalesim("simulate", str(small), "--engine", "analytic").stdout
    assert "M/M/c" in text
    rows = json.loads(scalesim("simulate", str(small), "--engine", "analytic", "--json").stdout)
    kinds = {row["metric"]: row["kind"] for row in rows["requests"]}
    assert kinds["latency_p99_s"] == "exact"
    picture = refused("simulate", str(small), "--engine", "analytic", "--picture", "x.png")
    assert "tables only" in picture


def test_schema_is_json():
    assert "$defs" in json.loads(scalesim("schema").stdout)


def test_warmup_says_what_it_did():
    assert "compiled" in scalesim("warmup").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--months", "0"], ["months", "got 0", "from 1 to 1200"]),
        (["--growth", "15"], ["15%/month", "no unit"]),
        (["--growth", "1e9%/month"], ["growth", "allowed"]),
        (["--latency", "500 MB"], ["500 MB", "not a time"]),
        (["--latency", "-3 s"], ["latency", "above 0"]),
        (["--quantile", "1.5"], ["quantile"]),
        (["--scale", "nan"], ["--scale", "nan"]),
        (["--scale", "1e12"], ["rate"]),
        (["--picture", "out.gif"], ["out.gif", "png"]),
        (["--picture", "no/such/folder/out.png"], ["folder"]),
        (["--traffic", "missing.yaml"], ["missing.yaml"]),
        (["--trials", "1"], ["trials", "from 2"]),
        (["--prices", "missing.csv"], ["missing.csv"]),
    ],
)
def test_wrong_arguments_get_one_message(small: Path, arguments: list[str], words: list[str]):
    text = refused("forecast", str(small), *arguments, cwd=small.parent)
    for word in words:
        assert word in text


def test_growth_that_overflows(tmp_path: Path):
    path = tmp_path / "grow.yaml"
    path.write_text(SMALL.replace("5%/month", "9900%/month"))
    assert "at most" in refused("forecast", str(path), "--months", "1200")


def test_warmup_longer_than_duration(small: Path):
    text = refused("simulate", str(small), "--duration", "10 s", "--warmup", "10 s")
    assert "warmup: got 10 s, allowed is at least 0 s and less than the duration, 10 s" in text


def test_durations_that_no_clock_resolves(small: Path):
    for given, got in (("-10 s", "-10 s"), ("1e30 s", "1e+30 s"), ("4000000 d", "3.456e+11 s")):
        text = refused("simulate", str(small), "--duration", given)
        assert f"duration: got {got}, allowed is a time above 0 s and at most 8,000,000,000" in text


def test_unknown_engine_names_the_nearest(small: Path):
    assert 'Did you mean "compiled"?' in refused("simulate", str(small), "--engine", "compild")


def test_missing_model_file(tmp_path: Path):
    assert "no such" in refused("forecast", str(tmp_path / "shop.yaml"))


def test_model_without_objective(tmp_path: Path):
    path = tmp_path / "m.yaml"
    path.write_text(SMALL.replace("objective: {latency: 400 ms}\n", ""))
    assert "--latency" in refused("forecast", str(path))


def test_missing_price_names_the_row(tmp_path: Path):
    path = tmp_path / "m.yaml"
    path.write_text(SMALL.replace("workers: 4,", "workers: 4, machine: m7g.lrage,"))
    text = refused("forecast", str(path))
    line = next(n for n, x in enumerate(path.read_text().splitlines(), 1) if "lrage" in x)
    assert f'm.yaml:{line}:35: service "server": machine "m7g.lrage" in us-east-1' in text
    assert "m7g.large" in text
    path.write_text(path.read_text().replace("lrage", "large"))
    text = refused("forecast", str(path), "--region", "us-esat-1")
    assert f"m.yaml:{line}:35: " in text
    assert 'Did you mean "us-east-1"?' in text


def test_missing_price_book_names_the_nearest(small: Path):
    (small.parent / "prices.csv").write_text("")
    text = refused("forecast", str(small), "--prices", str(small.parent / "pricse.csv"))
    assert 'pricse.csv: there is no such price book. Did you mean "prices.csv"?' in text


def test_all_problems_of_a_file_come_together_with_places(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace("workers: 4", "wrokers: 0").replace("400 ms", "400 MB"))
    text = refused("simulate", str(path))
    assert "bad.yaml:" in text
    assert "wrokers" in text
    assert "400 MB" in text


def test_warmup_may_be_found_and_theory_is_in_the_json(small: Path):
    done = scalesim("simulate", str(small), "--duration", "100 s", "--warmup", "auto", "--json")
    data = json.loads(done.stdout)
    assert data["theory"]["compared"] > 5
    assert data["theory"]["disagreements"] == []
    assert data["theory"]["refused"] == ""
    assert "auto" in scalesim("simulate", "--help").stdout
    assert "is not a" in refused("simulate", str(small), "--warmup", "automatic")
