"""Access logs: hand-checkable small ones, a real one, and everything that may be wrong with one."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from scalesim.distributions import Empirical
from scalesim.errors import InvalidInput
from scalesim.io import parse_traffic, traffic_text
from scalesim.io.access_log import LogTraffic, traffic_from_log
from scalesim.io.access_log_counts import (
    NameCounter,
    PathTree,
    SizeCounter,
    network_of,
    path_parts,
)
from scalesim.io.access_log_lines import BadLineError, LogLine, parse_line, read_lines
from scalesim.io.access_log_profile import Clock

COMMON = '10.0.0.{} - - [{} {}] "GET {} HTTP/1.1" 200 {}'


def line(
    time: str = "02/Jan/2026:00:00:00",
    path: str = "/a",
    *,
    client: int = 1,
    size: object = 100,
    zone: str = "+0000",
) -> str:
    return COMMON.format(client, time, zone, path, size)


def at(second: int, day: int = 2) -> str:
    return f"{day:02d}/Jan/2026:{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


@pytest.fixture
def read(tmp_path: Path):
    def of(lines: list[str], **options: object) -> LogTraffic:
        log = tmp_path / "access.log"
        log.write_text("".join(f"{each}\n" for each in lines))
        return traffic_from_log(log, **options)  # type: ignore[arg-type]

    return of


# --- lines ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '203.0.113.9 - - [02/Jan/2026:03:04:05 +0000] "GET /i.html HTTP/1.1" 200 5120',
            ("203.0.113.9", 1767323045, 0, "GET", "/i.html", "", 5120),
        ),
        (
            '203.0.113.9 - alice [02/Jan/2026:03:04:06 +0000] "POST /cart HTTP/1.1" 503 - '
            r'"https://shop.example/" "Mozilla/5.0 \"quoted\""',
            ("203.0.113.9", 1767323046, 0, "POST", "/cart", "", 0),
        ),
        (  # IPv6, a user of two words, a zone, a query, HTTP/2
            '2001:db8::1 - Ann Lee [02/Jan/2026:04:04:05 +0100] "GET /s?q=[1] HTTP/2" 200 7 "-"',
            ("2001:db8::1", 1767323045, 3600, "GET", "/s", "?q=[1]", 7),
        ),
        (  # escaped quotes in the request, nginx's extra fields
            '::1 - - [01/Mar/2024:00:00:00 -0330] "GET /a\\"b HTTP/1.1" 200 5 "-" "x" rt=0.1 ua=-',
            ("::1", 1709263800, -12600, "GET", '/a\\"b', "", 5),
        ),
        (  # virtual host in front, absolute target, fragment, session in the path
            'shop.example:443 10.1.2.3 - - [01/Jan/1971:00:00:00 +0000] "GET '
            'http://shop.example/p;jsessionid=1A?x=1#top HTTP/1.1" 304 0',
            ("10.1.2.3", 31536000, 0, "GET", "/p", ";jsessionid=1A?x=1", 0),
        ),
        (  # HTTP/0.9, a host name
            'a.example - - [02/Jan/2026:03:04:05 +0000] "GET /" 200 1',
            ("a.example", 1767323045, 0, "GET", "/", "", 1),
        ),
    ],
)
def test_line(text: str, expected: tuple[object, ...]) -> None:
    assert parse_line(text) == LogLine(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not a log line", "not in Common or Combined"),
        (r'1.1.1.1 - - [02/Jan/2026:03:04:05 +0000] "\x16\x03\x01" 400 150 "-" "-"', "METHOD"),
        ('1.1.1.1 - - [02/Jan/2026:03:04:05 +0000] "-" 408 -', "METHOD"),
        (line("31/Feb/2026:00:00:00"), "no day 31/Feb/2026"),
        (line("01/Foo/2026:00:00:00"), "no day"),
        (line("01/Jan/0001:00:00:00"), "no log is of"),
        (line("01/Jan/2026:24:00:00"), "no time 24:00:00"),
        (line(zone="+9900"), "no UTC offset +9900"),
        (line(size="1k"), "not in Common or Combined"),
        (line()[:60], "not in Common or Combined"),
    ],
)
def test_bad_line(text: str, reason: str) -> None:
    with pytest.raises(BadLineError) as caught:
        parse_line(text)
    assert reason in str(caught.value)


SEGMENTS = st.text("abcXYZ019._-~%", min_size=1, max_size=8)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(
    host=st.one_of(st.ip_addresses().map(str), st.just("host.example")),
    user=st.sampled_from(["-", "frank", "two words"]),
    seconds=st.integers(366 * 86_400, 4_000_000_000),
    minutes=st.integers(-12 * 60, 14 * 60),
    method=st.sampled_from(["GET", "POST", "DELETE", "PROPFIND"]),
    path=PATHS,
    query=st.sampled_from(["", "?a=1", "?q=%22&x"]),
    size=st.integers(0, 10**12),
    tail=st.sampled_from(["", ' "-" "Mozilla/5.0"', r' "\"r\"" "a \"b\" c" 0.003']),
)
def test_generated_lines_parse_back(
    host: str,
    user: str,
    seconds: int,
    minutes: int,
    method: str,
    path: str,
    query: str,
    size: int,
    tail: str,
) -> None:
    offset = timezone(timedelta(minutes=minutes))
    time = datetime.fromtimestamp(seconds, offset).strftime("%d/%b/%Y:%H:%M:%S %z")
    text = f'{host} - {user} [{time}] "{method} {path}{query} HTTP/1.1" 200 {size or "-"}{tail}'
    assert parse_line(text) == (host, seconds, minutes * 60, method, path, query, size)


@given(st.text(max_size=200))
def test_no_line_is_a_traceback(text: str) -> None:
    with contextlib.suppress(BadLineError):
        parse_line(text)


def test_hostile_line_is_quick() -> None:
    nasty = "a b " + ' [02/Jan/2026:00:00:00 +0000] "' * 500 + "\\" * 3000
    with pytest.raises(BadLineError):
        parse_line(nasty)


# --- rate ---


def test_average_day_by_hand(read) -> None:
    # Hour buckets; 1 January 12:00 to 3 January 11:59:59: every hour is covered twice.
    lines = [line(at(12 * 3600, 1))]
    lines += [line(at(13 * 3600 + n, 1)) for n in range(10)]
    lines += [line(at(13 * 3600 + n, 2)) for n in range(30)]
    lines += [line(at(12 * 3600 - 1, 3))]
    traffic = read(lines, bucket=3600).traffic
    expected = [0.0] * 24
    expected[11], expected[12], expected[13] = 1 / 7200, 1 / 7200, 40 / 7200
    assert traffic.rate.rates == tuple(expected)
    assert (traffic.rate.bucket, traffic.rate.repeat) == (3600.0, True)


def test_average_day_says_the_busiest_measured(read) -> None:
    lines = [line(at(0, 1)), *(line(at(3600 + n, 1)) for n in range(900))]
    lines += [line(at(0, 2)), line(at(86_399, 3))]
    got = read(lines)
    assert got.busiest_rate == 1.0
    assert got.traffic.peak_rate(900) == pytest.approx(1 / 3)
    assert any("2026-01-01 01:00" in note and "3 times less" in note for note in got.notes)


def test_what_is_written_reads_well(read) -> None:
    lines = [line(at(60 * n, day)) for day in (1, 2, 3) for n in range(1440) if n % (4 * day)]
    got = read([*lines, line(at(86_399, 3)), line(at(5, 3))])
    text = traffic_text(got.traffic)
    assert "response_bytes: 100 B" in text
    assert max(map(len, re.findall(r"[0-9.e-]+(?=/)", text))) <= 9
    assert any(note.startswith("1 line is earlier than one before") for note in got.notes)


def test_short_log_is_its_stretch(read) -> None:
    # 10:00:30 to 10:03:29, one a second: 180 requests in 180 s, in 4 buckets, the outer ones half.
    got = read([line(at(36_030 + n)) for n in range(180)])
    assert got.traffic.rate.rates == (1.0,) * 4
    assert got.busiest_rate == 1.0
    assert got.span_s == 179.0
    assert "covers 3 min of the day, from 10:00" in got.notes[0]


def test_short_log_over_midnight_starts_in_the_evening(read) -> None:
    hours = [(22, 1, 4), (23, 1, 8), (0, 2, 2), (1, 2, 1)]
    lines = [line(at(h * 3600 + n, day)) for h, day, count in hours for n in range(count)]
    lines.append(line(at(2 * 3600 - 1, 2)))
    got = read(lines, bucket=3600)
    assert [round(rate * 3600) for rate in got.traffic.rate.rates] == [4, 8, 2, 2]


def test_days_without_lines_are_not_logged(read) -> None:
    lines = [line(at(n * 60, day)) for day in (1, 2, 9, 10) for n in range(1440)]
    got = read(lines)
    assert got.traffic.rate.mean == pytest.approx(1 / 60, rel=1e-3)
    assert any("6 days in between" in note for note in got.notes)


def test_stray_date_changes_almost_nothing(read) -> None:
    lines = [line(at(n * 60, day)) for day in (1, 2) for n in range(1440)]
    got = read(['1.1.1.1 - - [01/Jan/1975:00:00:10 +0000] "GET / HTTP/1.1" 200 1', *lines])
    assert got.traffic.rate.mean == pytest.approx(1 / 60, rel=2e-3)


def test_order_does_not_matter_but_is_said(read) -> None:
    lines = [line(at(n)) for n in range(0, 600, 7)]
    ordered, shuffled = read(lines), read(lines[::-1])
    assert ordered.traffic == shuffled.traffic
    assert ordered.span_s == shuffled.span_s == 595
    assert any(
        note.startswith(f"{len(lines) - 1} lines are earlier") and "9.92 min" in note
        for note in shuffled.notes
    )
    assert not any("earlier" in note for note in ordered.notes)


def test_time_zones(read) -> None:
    local = read([line(at(n), zone="+0530") for n in range(0, 600, 10)])
    assert "from 00:00 (+0530)" in local.notes[0]
    # The clock goes back: 01:30 +0200, then 01:10 +0100 is 40 minutes later, not 20 earlier.
    changed = read([line(at(5400), zone="+0200"), line(at(4200), zone="+0100")])
    assert changed.span_s == 2400.0
    assert not any("earlier" in note for note in changed.notes)
    assert any("+0100, +0200; times of day are at +0200" in note for note in changed.notes)


@given(st.lists(st.integers(0, 3 * 86_400), min_size=2, max_size=200), st.sampled_from([60, 3600]))
def test_no_request_is_lost(times: list[int], bucket: int) -> None:
    clock = Clock(bucket)
    for time in times:
        clock.add(1_767_312_000 + time, 0)
    assert clock.buckets.total() == len(times)
    profile, _ = clock.profile()
    covered = clock._covered()
    start = 0 if all(covered) else min(clock.buckets) % len(covered)
    seconds = [each for each in (*covered[start:], *covered[:start]) if each]
    counted = sum(rate * each for rate, each in zip(profile.rates, seconds, strict=True))
    assert counted == pytest.approx(len(times))


@pytest.mark.parametrize("bucket", [0, -60, 7, 61, 0.5, 7200, float("nan"), float("inf")])
def test_bucket_must_divide_a_day(read, bucket: float) -> None:
    with pytest.raises(InvalidInput, match="divide a day"):
        read([line(), line(at(5))], bucket=bucket)


# --- mix ---


@pytest.mark.parametrize(
    ("method", "path", "parts"),
    [
        ("GET", "/", ("GET /",)),
        ("GET", "//a//b/", ("GET /a", "b")),
        ("GET", "/users/42", ("GET /users", "{id}")),
        ("PUT", "/u/123e4567-e89b-12d3-a456-426614174000", ("PUT /u", "{id}")),
        ("GET", "/c/9f86d081884c7d65/x", ("GET /c", "{id}", "x")),
        ("GET", "/facade/deadbeef", ("GET /facade", "deadbeef")),  # words of a to f
        ("GET", "/img/logo.PNG", ("static",)),
        ("POST", "/img/logo.png", ("POST /img", "logo.png")),
        ("GET", "/1/2/3/4/5/6/7", ("GET /{id}", *["{id}"] * 4)),
    ],
)
def test_path_parts(method: str, path: str, parts: tuple[str, ...]) -> None:
    assert path_parts(method, path) == parts


def test_mix_by_hand(read) -> None:
    paths = ["/users/1", "/users/2", "/users/2/orders", "/", "/logo.png"] * 39
    paths += ["/rare/one", "/rare/two", "/rare/three", "/single", "/users/7/cart"]
    got = read([line(at(n), path) for n, path in enumerate(paths)])
    assert dict(got.traffic.mix) == {
        "get_users_id": 79.0,  # and the one cart below it
        "get_users_id_orders": 39.0,
        "get_root": 39.0,
        "static": 39.0,
        "get_rare": 3.0,
        "other": 1.0,
    }
    assert got.patterns["get_users_id"] == "GET /users/{id}"
    assert any('"other": 1 request (0.5%)' in note for note in got.notes)


def test_names_are_valid_and_distinct(read) -> None:
    paths = ["/a.b", "/a-b", "/a b%20", "/ü", "/_", "/" + "x" * 200, "/1"]
    paths = [path.replace(" ", "+") for path in paths]
    got = read([line(at(n), path) for n, path in enumerate(paths)])
    assert len(got.traffic.mix) == len(paths)
    got.traffic.require_valid()


def test_endpoints_of_a_model(read) -> None:
    paths = ["/search?q=1"] * 5 + ["/cart"] * 3 + ["/about"] * 2
    lines = [line(at(n), path) for n, path in enumerate(paths)]
    got = read(lines, endpoints={"^GET /search": "search", "cart": "order", "/pay": "pay"})
    assert dict(got.traffic.mix) == {"search": 5.0, "order": 3.0, "other": 2.0}
    assert got.patterns == {"search": "^GET /search", "order": "cart", "other": ""}
    assert any('are "other": 2 requests (20.0%)' in note for note in got.notes)
    assert "no request is for pay" in got.notes
    assert dict(read(lines, endpoints={".": "get"}).traffic.mix) == {"get": 10.0}


def test_queries(read) -> None:
    lines = [line(at(n), f"/v?id={n % 2}") for n in range(4)]
    assert read(lines).traffic.keys.count == 1
    kept = read(lines, keep_query=True, endpoints={"id=1$": "one", ".": "rest"})
    assert kept.traffic.keys.count == 2
    assert dict(kept.traffic.mix) == {"rest": 2.0, "one": 2.0}


def test_wrong_endpoints(read) -> None:
    with pytest.raises(InvalidInput) as caught:
        read([line()], endpoints={"(": "a", "ok": "no name"})
    text = str(caught.value)
    assert "not a regular expression" in text
    assert '"no name"' in text


def test_path_tree_folds_early_when_it_is_full() -> None:
    tree = PathTree(limit=10)
    for n in range(1000):
        tree.add(("GET /a", f"slug{n}"))
    tree.add(("GET /b",))
    assert len(tree.counts) <= 10
    assert sum(tree.counts.values()) == 1001
    assert tree.counts[("GET /a",)] > 900


# --- sizes, keys, clients ---


def test_sizes_by_hand(read) -> None:
    got = read([line(at(n), size=size) for n, size in enumerate(["-", 100, 200])])
    sizes = got.traffic.response_bytes
    assert sizes.mean == 100.0
    assert (sizes.quantiles[0], sizes.quantiles[50], sizes.quantiles[100]) == (0.0, 100.0, 200.0)


def test_quantiles_are_numpys() -> None:
    counter = SizeCounter()
    sizes = list(range(0, 4001, 4))
    for size in sizes:
        counter.add(size)
    expected = np.quantile(sizes, np.linspace(0, 1, 101))
    assert counter.distribution().quantiles == pytest.approx(expected)


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=300))
def test_quantiles_ascend_within_what_was_seen(sizes: list[int]) -> None:
    counter = SizeCounter()
    for size in sizes:
        counter.add(size)
    found = counter.distribution()
    assert isinstance(found, Empirical) == (len(set(sizes)) > 1)
    got = found.quantiles if isinstance(found, Empirical) else (found.mean,)
    assert list(got) == sorted(got)
    assert min(sizes) <= got[0] <= got[-1] <= max(sizes)
    assert counter.distribution().mean == pytest.approx(np.mean(sizes), abs=0.5)


@given(st.integers(0, 10**6), st.integers(1, 10**10), st.integers(1, 99))
def test_mean_size_is_the_one_counted(small: int, huge: int, huge_count: int) -> None:
    counter = SizeCounter()
    sizes = [small] * 1000 + [small + huge] * huge_count
    for size in sizes:
        counter.add(size)
    assert counter.distribution().mean == pytest.approx(np.mean(sizes), rel=1e-3, abs=1)


def test_networks() -> None:
    hosts = {
        "10.1.2.3": "10.1.2.0/24",
        "2001:db8:1:2::3": "2001:db8:1::/48",
        "fe80::1%eth0": "fe80::/48",
        "::ffff:10.1.2.9": "10.1.2.0/24",
        "Proxy.example": "proxy.example",
        "-": "-",
    }
    assert {host: network_of(host) for host in hosts} == hosts


def test_popularity_by_hand(read) -> None:
    paths = ["/a"] * 5 + ["/b"] * 2 + ["/c", "/d", "/e"]
    got = read([line(at(n), path, client=n) for n, path in enumerate(paths)])
    keys = got.traffic.keys
    assert (keys.counts, keys.tail_keys, keys.tail_count) == ((5.0, 2.0), 3, 3.0)
    assert got.traffic.clients.counts == (10.0,)
    assert any("are from 10.0.0.0/24: behind a proxy" in note for note in got.notes)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=300))
def test_popularity_is_lossless_below_the_limit(names: list[int]) -> None:
    counter = NameCounter()
    for name in names:
        counter.add(str(name))
    expected = sorted(Counter(names).values(), reverse=True)
    assert counter.popularity().weights().tolist() == pytest.approx(expected)


def test_more_names_than_the_limit() -> None:
    counter = NameCounter(limit=100)
    for n in range(20_000):
        counter.add(f"once{n}")
        if n > 10_000:
            counter.add("late but popular")
    got = counter.popularity()
    assert len(counter.counts) <= 100
    assert got.counts[0] == pytest.approx(9_999, rel=0.01)
    assert sum(got.counts) + got.tail_count == 29_999
    assert got.count == pytest.approx(20_001, rel=0.01)


def test_just_more_names_than_the_limit() -> None:
    counter = NameCounter(limit=10)
    for n in range(11):
        counter.add(str(n))
    got = counter.popularity()
    assert got.weights().tolist() == [1.0] * 11


# --- whole files ---


def test_bad_lines_are_counted_and_shown(read, tmp_path: Path) -> None:
    lines = [line(at(n)) for n in range(20)]
    for n in range(12):
        lines.insert(1, f"garbage {n}")
    lines.insert(3, "")
    got = read(lines)
    assert (got.lines, got.used, got.bad_count, len(got.bad)) == (32, 20, 12, 10)
    assert got.bad[0].number == 2
    assert got.bad[0].text == '"garbage 11"'
    assert "left out: 12 lines, not in Common or Combined log format" in got.notes
    with pytest.raises(InvalidInput) as caught:
        read(lines, strict=True)
    assert len(caught.value.problems) == 10
    assert f"{tmp_path}/access.log:2: not in Common" in str(caught.value)


def test_strict_takes_a_clean_log(read) -> None:
    assert read([line(), line(at(9))], strict=True).used == 2


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    data = "\ufeff" + "\r\n".join(line(at(n)) for n in range(50))
    (tmp_path / "a.log").write_text(data, encoding="utf-8", newline="")
    (tmp_path / "packed").write_bytes(gzip.compress(data.encode()))  # by content, not by name
    plain = traffic_from_log(tmp_path / "a.log")
    assert plain == traffic_from_log(tmp_path / "packed")
    assert (plain.used, plain.bad_count) == (50, 0)


def test_progress(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{line(at(n % 86_400))}\n" for n in range(25_000)))
    calls: list[tuple[int, int]] = []
    traffic_from_log(log, progress=lambda done, total: calls.append((done, total)))
    size = log.stat().st_size
    assert [total for _, total in calls] == [size] * 3
    assert 0 < calls[0][0] < calls[1][0] <= calls[2][0] == size


def test_interrupt_is_the_callers(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(line() + "\n" + line(at(1)))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        traffic_from_log(log, progress=stop)


def test_long_line_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    agent = "x" * 100_000
    log.write_text(f'{line()} "-" "{agent}"\n{line(at(1))}\n' + line(path="/" + agent))
    assert [number for number, _ in read_lines(log)] == [1, 2, 3]
    got = traffic_from_log(log)
    assert (got.used, got.bad_count) == (2, 1)


CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "this log is empty"),
    "blank": (b"\n\n  \n", "this log is empty"),
    "no valid line": (b"a\nb\n", r"none of 2 lines is a request; line 1: not in Common.*\"a\""),
    "one line": (line().encode(), "only one line is a request"),
    "one second": (f"{line()}\n{line()}".encode(), "all 2 requests are of the same second"),
    "binary": (b"\x7fELF\0\1\2\xff" * 999, "looks like a binary file"),
    "UTF-16": (line().encode("utf-16"), "UTF-16; save it as UTF-8"),
    "cut gzip": (gzip.compress(os.urandom(9999))[:-99], "gzip is damaged"),
    "no gzip": (b"\x1f\x8bnot gzip at all", "gzip is damaged"),
}


@pytest.mark.parametrize("case", CASES)
def test_useless_file(case: str, tmp_path: Path) -> None:
    content, message = CASES[case]
    log = tmp_path / "access.log"
    log.write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        traffic_from_log(log)
    assert str(caught.value).startswith(str(log))
    assert len(str(caught.value)) < 400


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="this is a folder"):
        traffic_from_log(tmp_path)
    (tmp_path / "access.log").write_text("")
    with pytest.raises(InvalidInput, match=r'no such log. Did you mean "access.log"'):
        traffic_from_log(tmp_path / "acess.log")
    with pytest.raises(InvalidInput, match="can't be read"):
        traffic_from_log("nul\0byte")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line())
    log.chmod(0)
    with pytest.raises(InvalidInput, match="no permission"):
        traffic_from_log(log)


# --- real logs ---


def check_real(path: Path, got: LogTraffic) -> None:
    """Compare with what a few lines of NumPy say of a log without queries or bad lines."""
    fields = [each.split() for each in path.read_text().splitlines()]
    assert (got.lines, got.used, got.bad_count) == (len(fields), len(fields), 0)
    got.traffic.require_valid()
    assert parse_traffic(traffic_text(got.traffic)) == got.traffic
    assert sum(got.traffic.mix.values()) == len(fields)
    sizes = [0 if each[9] == "-" else int(each[9]) for each in fields]
    assert got.traffic.response_bytes.mean == pytest.approx(np.mean(sizes), abs=1)
    median = got.traffic.response_bytes.quantiles[50]
    assert median == pytest.approx(np.median(sizes), rel=1e-3, abs=1)
    paths = Counter(each[6].split("?")[0].split("#")[0] for each in fields)
    expected = sorted(paths.values(), reverse=True)
    assert got.traffic.keys.weights().tolist() == pytest.approx(expected)
    networks = Counter(each[0].rsplit(".", 1)[0] for each in fields)
    expected = sorted(networks.values(), reverse=True)
    assert got.traffic.clients.weights().tolist() == pytest.approx(expected)


def test_excerpt(repo_root: Path) -> None:
    log = repo_root / "tests/data/access_excerpt.log"
    got = traffic_from_log(log, strict=True)
    assert got.used == 200
    check_real(log, got)
    assert got.traffic.rate.period == 86_400.0


def test_sample(repo_root: Path) -> None:
    log = repo_root.parent / "shared/samples/access_combined_10k.log"
    if not log.exists():
        pytest.skip("no ../shared here")
    got = traffic_from_log(log, strict=True)
    assert got.used == 10_000
    check_real(log, got)
    # 17 May 10:05:03 to 20 May 21:05:59; every line is of minute 5 of its hour.
    assert got.span_s == 298_859.0
    assert {bucket % 60 for bucket, rate in enumerate(got.traffic.rate.rates) if rate} == {5}
    assert got.traffic.mix["static"] > 5_000
    assert "get_blog_tags_puppet" in got.traffic.mix
