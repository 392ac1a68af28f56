"""The command line. Parses, calls the library, prints; knows nothing of simulation itself."""

from __future__ import annotations

from scalesim.cli.main import main

__all__ = ["main"]
