"""``python -m scalesim``: the same as the command ``scalesim``."""

from __future__ import annotations

from scalesim.cli import main

if __name__ == "__main__":
    main()
