"""Files written whole: every failure is one `InvalidInput` that says what to do.

Layer: io. A writer here leaves either the complete new file or the old one, never half of it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from scalesim.reading import near, reason, refusal

__all__ = ["write_bytes", "write_text"]


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
            raise refusal(path, "this is a folder; name a file in it")
        if not target.parent.is_dir():
            raise refusal(path, f"there is no folder {target.parent}. {near(target.parent)}")
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(target, data)
    except PermissionError:
        raise refusal(path, "no permission to write here") from None
    except (OSError, ValueError) as error:
        raise refusal(path, f"can't be written: {reason(error)}") from None


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
