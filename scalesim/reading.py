"""Files read whole: every failure is one `InvalidInput` that says what to do.

Layer: just above errors, for whatever reads a file: `io`, and the price book of `studies`.
"""

from __future__ import annotations

import os
from pathlib import Path

from scalesim.errors import InvalidInput, Problem, nearest

__all__ = ["near", "read_bytes", "read_text", "reason", "refusal"]


def read_bytes(path: str | os.PathLike[str], limit: int, what: str = "file") -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Parameters
    ----------
    path : path-like
    limit : int [bytes]
    what : str
        What the file should be, for messages: ``model file``.

    Raises
    ------
    InvalidInput
        The file is missing, a folder, not readable or too large.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise refusal(path, f"there is no such {what}. {near(path)}") from None
    except IsADirectoryError:
        raise refusal(path, f"this is a folder; name a {what} in it") from None
    except PermissionError:
        raise refusal(path, f"no permission to read this {what}") from None
    except (OSError, ValueError) as error:
        raise refusal(path, f"this {what} can't be read: {reason(error)}") from None
    if len(data) > limit:
        raise refusal(path, f"more than {limit / 1e6:g} MB, the limit for a {what}")
    return data


def read_text(path: str | os.PathLike[str], limit: int, what: str = "file") -> str:
    """Return the text of a UTF-8 file of at most `limit` bytes.

    Raises
    ------
    InvalidInput
        As `read_bytes`; or the file is binary or not UTF-8.
    """
    return _decoded(read_bytes(path, limit, what), path, what)


def _decoded(data: bytes, path: str | os.PathLike[str], what: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise refusal(path, f"this {what} is UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise refusal(
            path, f"this is a binary file (byte 0 at offset {data.index(0)}), not a {what}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        before = data[:offset].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"byte 0x{data[offset]:02x} at offset {offset} is not UTF-8; save it as UTF-8"
        raise InvalidInput([Problem("", message, place=f"{path}:{line}:{column}")]) from None


def near(path: str | os.PathLike[str]) -> str:
    """Return the nearest name in the same folder, as a question."""
    folder = Path(path).parent
    try:
        return nearest(Path(path).name, os.listdir(folder)).strip()
    except OSError:
        return f"The folder {folder} can't be read either"


def reason(error: Exception) -> str:
    """Return what the system says of an error with a file."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def refusal(path: str | os.PathLike[str], message: str) -> InvalidInput:
    """Return the error that says `message` of a file."""
    return InvalidInput([Problem("", message.strip().rstrip("."), place=os.fspath(path))])
