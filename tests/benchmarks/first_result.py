"""A small model from nothing to its first number: the whole process is timed by `run.py`."""

from __future__ import annotations

import models

print(models.measure("c", 1000))
