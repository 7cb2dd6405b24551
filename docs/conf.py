"""How Sphinx builds the documentation; ``make docs`` calls it, and the tests do.

Pages are plain Markdown that a code host shows as well: no directives but those that list pages
(``toctree``) and those that fetch docstrings (``api.md``), and formulas as text.
"""

from importlib.metadata import version as installed_version

project = "lostbits"
author = "the lostbits authors"
release = version = installed_version("lostbits")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["examples/*.md"]
nitpicky = True  # a reference that leads nowhere is a warning, and a warning fails the build
# Types of other packages are named, not linked: their documentation is not at hand.
# Nor are the types of what users hold but never make.
_OTHERS = r"(collections|numpy|onnx|onnx_ir|pathlib|typing)\..*|optional"
_IN_OVERLOADS = r"Path|ir\.Model"  # these stand there as in the source
_HELD = r"lostbits\.(case\.Origin|backend\.Loaded|members\.M)"
nitpick_ignore_regex = [("py:.*", f"{_OTHERS}|{_HELD}|{_IN_OVERLOADS}")]
suppress_warnings = ["config.cache"]

myst_heading_anchors = 3  # links to headings work as they do on code hosts
nb_execution_mode = "force"  # the notebook is kept without outputs; these are of this build
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_title = "lostbits"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navigation_with_keys": False,
    "navbar_persistent": [],  # the search stands in the sidebar
    "article_header_end": ["toggle-secondary-sidebar"],
    "primary_sidebar_end": ["theme-switcher"],
}
