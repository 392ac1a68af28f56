"""Lines of an access log: from the file's bytes to fields, or to the reason why not. Layer: io.

Here stands what the Common and Combined formats look like, whoever wrote them (Apache, nginx), and
nothing about what is counted. Fields after the size are not needed, so any may follow.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import IO, NamedTuple, cast

from scalesim.errors import InvalidInput, Problem, nearest

__all__ = ["BadLineError", "LogLine", "parse_line", "read_lines"]

MAX_LINE = 16_384
"""Bytes of the longest line that is read; servers refuse longer requests themselves."""

_PROGRESS_EVERY = 10_000  # lines
_LINE = re.compile(
    r"(?:[\w.-]+:\d{1,5} )?"  # virtual host and port: Apache's vhost_combined
    r"(?P<host>\S+) \S+ .+? "
    r"\[(?P<day>\d\d/\w{3}/\d{4}):(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d) "
    r'(?P<zone>[+-]\d{4})\] "(?P<request>[^"\\]*(?:\\.[^"\\]*)*)" \d{3} '
    r"(?P<size>\d{1,15}|-)(?: .*)?",
    re.A,
)
_REQUEST = re.compile(r"([A-Z]{1,20}) (\S+)(?: HTTP/\d(?:\.\d)?)?", re.A)
_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.I)
_QUERY = re.compile(r"[?#].*|;jsessionid=.*", re.I)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


class BadLineError(ValueError):
    """The line is not one request; the argument says why. Internal, counted by the caller."""


class LogLine(NamedTuple):
    """One request of a log.

    Parameters
    ----------
    host : str
        Address or name of the client.
    at : int [s]
        Seconds since 1970 (UTC).
    offset : int [s]
        Local time - UTC.
    method, path, query : str
        ``query`` begins with ``?`` or is empty.
    size : int [bytes]
        Of the body that was sent; ``-`` is 0.
    """

    host: str
    at: int
    offset: int
    method: str
    path: str
    query: str
    size: int


def parse_line(line: str) -> LogLine:
    """Return the request that `line` records.

    Raises
    ------
    BadLineError
        With the reason.

    Examples
    --------
    >>> parse_line('::1 - - [02/Jan/2026:03:04:05 +0100] "GET /a?b HTTP/1.1" 304 -')[1:]
    (1767319445, 3600, 'GET', '/a', '?b', 0)
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadLineError("not in Common or Combined log format")
    host, day, hour, minute, second, zone, request, size = match.groups()
    parts = _REQUEST.fullmatch(request)
    if parts is None:
        raise BadLineError("the request is not METHOD target HTTP/version")
    midnight, offset = _midnight(day), _offset(zone)
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 60:  # 60: a leap second
        raise BadLineError(f"there is no time {hour}:{minute}:{second}")
    at = midnight + hours * 3600 + minutes * 60 + seconds - offset
    method, target = parts.groups()
    path = target
    if path[:1] != "/":  # a proxy's GET http://host/path
        path = _AUTHORITY.sub("", path, count=1) or "/"
    bare = _QUERY.sub("", path, count=1) or "/"
    query = path[len(bare) :].partition("#")[0]
    return LogLine(host, at, offset, method, bare, query, 0 if size == "-" else int(size))


@lru_cache(maxsize=1024)
def _midnight(day: str) -> int:
    number, month, year = day.split("/")
    try:
        ordinal = date(int(year), _MONTHS[month.capitalize()], int(number)).toordinal()
    except (KeyError, ValueError):
        raise BadLineError(f"there is no day {day}") from None
    if not 1970 < int(year) < 2200:
        raise BadLineError(f"no log is of {day}")
    return (ordinal - _EPOCH) * 86_400


_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=64)
def _offset(zone: str) -> int:
    hours, minutes = int(zone[1:3]), int(zone[3:])
    if hours > 15 or minutes > 59:
        raise BadLineError(f"there is no UTC offset {zone}")
    return (-1 if zone[0] == "-" else 1) * (hours * 3600 + minutes * 60)


def read_lines(
    path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line that is not blank, of a text file or a gzip of one.

    What is not UTF-8 is shown escaped; a line is cut after `MAX_LINE` bytes.

    Raises
    ------
    InvalidInput
        The file is missing, a folder, not readable, UTF-16 or a damaged gzip.
    """
    number = 0
    try:
        with open(path, "rb") as file:
            start = file.peek(2)[:2]
            if start in (b"\xff\xfe", b"\xfe\xff"):
                raise _problem(path, "this log is UTF-16; save it as UTF-8")
            stream: IO[bytes] = file
            if start == b"\x1f\x8b":
                stream = cast(IO[bytes], gzip.GzipFile(fileobj=file))
            seekable = file.seekable()
            total = os.fstat(file.fileno()).st_size
            for number, raw in enumerate(_raw_lines(stream), 1):
                if progress is not None and number % _PROGRESS_EVERY == 0:
                    progress(file.tell() if seekable else 0, total)
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8", "backslashreplace")
                if text := text.strip():
                    yield number, text
            if progress is not None:
                progress(total, total)
    except FileNotFoundError:
        near = nearest(os.path.basename(path), _siblings(path)).strip()
        raise _problem(path, f"there is no such log. {near}".strip(" .")) from None
    except IsADirectoryError:
        raise _problem(path, "this is a folder; name a log in it") from None
    except PermissionError:
        raise _problem(path, "no permission to read this log") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _problem(path, f"the gzip is damaged after line {number}: {error}") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise _problem(path, f"this log can't be read: {reason}") from None


def _raw_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, long ones cut: what isn't a log may be one line of gigabytes."""
    while raw := stream.readline(MAX_LINE):
        yield raw
        while len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            raw = stream.readline(MAX_LINE)


def _siblings(path: str | os.PathLike[str]) -> list[str]:
    try:
        return os.listdir(os.path.dirname(path) or ".")
    except OSError:
        return []


def _problem(path: str | os.PathLike[str], message: str) -> InvalidInput:
    return InvalidInput([Problem("", message, place=os.fspath(path))])
