"""How Sphinx builds these pages: `make docs`."""

import importlib.metadata

project = "layergym"
author = "the layergym developers"
release = importlib.metadata.version("layergym")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = "layergym"
exclude_patterns = ["_build", "recipes"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "inherited-members": False}
default_role = "code"
suppress_warnings = ["misc.highlighting_failure"]
