"""How the documentation is built: ``make docs``. Every warning is an error; nothing is fetched from a network."""

from __future__ import annotations

import sys
from pathlib import Path

import novastate

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "novastate"
author = "The novastate developers"
copyright = f"2026, {author}"
version = release = novastate.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "tables",  # _ext/tables.py: pages from the tables themselves, written before the build reads its sources
    "transcripts",  # _ext/transcripts.py: the commands of the tutorial, run
    "figures",  # _ext/figures.py: the pictures of a forecast, drawn
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"novastate {version}"
html_copy_source = False

autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

# A reference to a name of ours must resolve. Other packages' inventories would have to be fetched, so names that
# are not ours are left as they are; so are type variables, which are public to type checkers only, and the
# unqualified names of annotations, which autodoc cannot place.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!novastate\.).*"),
    (r"py:(class|obj|data)", r"novastate\.(\w+\.)*([A-Z]|[A-Z]_co|_\w+)"),
    # By its defining module: what is public resolves to its package all the same, what is not is not documented.
    (r"py:.*", r"novastate(\.\w+){3,}.*"),
    # Modules behind the public names of a part.
    (r"py:mod", r"novastate\.objects\.\w+"),
]
