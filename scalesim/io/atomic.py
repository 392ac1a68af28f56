"""Files read whole and written whole: every failure is one `InvalidInput` that says what to do.

Layer: io. A writer here leaves either the complete new file or the old one, never half of it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from scalesim.errors import InvalidInput, Problem, nearest

__all__ = ["read_text", "write_bytes", "write_text"]


def read_text(path: str | os.PathLike[str], limit: int, what: str = "file") -> str:
    """Return the text of a UTF-8 file of at most `limit` bytes.

    Parameters
    ----------
    path : path-like
    limit : int [bytes]
    what : str
        What the file should be, for messages: ``model file``.

    Raises
    ------
    InvalidInput
        The file is missing, a folder, not readable, too large, binary or not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise _problem(path, f"there is no such {what}. {_near(path)}") from None
    except IsADirectoryError:
        raise _problem(path, f"this is a folder; name a {what} in it") from None
    except PermissionError:
        raise _problem(path, f"no permission to read this {what}") from None
    except (OSError, ValueError) as error:
        raise _problem(path, f"this {what} can't be read: {_reason(error)}") from None
    if len(data) > limit:
        raise _problem(path, f"more than {limit / 1e6:g} MB, the limit for a {what}")
    return _decoded(data, path, what)


def _decoded(data: bytes, path: str | os.PathLike[str], what: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _problem(path, f"this {what} is UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise _problem(
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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, whole or not at all; an existing file is replaced.

    Raises
    ------
    InvalidInput
        The folder is missing, or something there can't be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data`, whole or not at all; an existing file is replaced.

    The data go to a temporary file in the same folder, which then takes the name. Links are
    followed, and a device or pipe (``/dev/stdout``) is written to directly.

    Raises
    ------
    InvalidInput
        The folder is missing, or something there can't be written.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise _problem(path, "this is a folder; name a file in it")
        if not target.parent.is_dir():
            raise _problem(path, f"there is no folder {target.parent}. {_near(target.parent)}")
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(target, data)
    except PermissionError:
        raise _problem(path, "no permission to write here") from None
    except (OSError, ValueError) as error:
        raise _problem(path, f"can't be written: {_reason(error)}") from None


def _replace(target: Path, data: bytes) -> None:
    mode = None
    if target.exists():
        if not os.access(target, os.W_OK):
            raise PermissionError
        mode = target.stat().st_mode & 0o7777
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _near(path: str | os.PathLike[str]) -> str:
    """Return the nearest name in the same folder, as a question."""
    folder = Path(path).parent
    try:
        return nearest(Path(path).name, os.listdir(folder)).strip()
    except OSError:
        return f"The folder {folder} can't be read either"


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _problem(path: str | os.PathLike[str], message: str) -> InvalidInput:
    return InvalidInput([Problem("", message.strip().rstrip("."), place=os.fspath(path))])
