"""Sphinx configuration. Pages are MyST Markdown; code cells run when the docs are built."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import scalesim  # noqa: E402

project = "scalesim"
author = "the scalesim authors"
copyright = "the scalesim authors; Apache License 2.0"
version = release = scalesim.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_typehints = "none"
napoleon_google_docstring = False

html_theme = "furo"
html_title = f"scalesim {version}"
html_copy_source = False
