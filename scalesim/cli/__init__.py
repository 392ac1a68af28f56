"""The command line. Parses, calls the library, prints; knows nothing of simulation itself."""

from __future__ import annotations

try:
    from scalesim.cli.main import main
except KeyboardInterrupt:  # Ctrl-C while loading
    raise SystemExit(130) from None

__all__ = ["main"]
