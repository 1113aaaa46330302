"""Sphinx's configuration of the site. `nanogen docs` adds the generated pages and builds it."""

project = "NanoGen"
copyright = "the authors of NanoGen, Apache-2.0"
language = "en"
smartquotes = False  # two hyphens begin an option

extensions = ["myst_parser", "nanogen.docs.equations"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
# Blocks without a language are commands and their output.
highlight_language = "none"

html_theme = "furo"
html_title = "NanoGen"
html_css_files = ["equations.css", "site.css"]  # nanogen.docs.equations makes the first
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
# Search summaries are fetched, which browsers do not allow for a page opened from disk.
html_show_search_summary = False

OPTIONAL = ("leaderboard",)  # pages that docs/index.md names but that may be missing


def without_missing(app, page, source):
    """Leave missing pages out of the navigation."""
    if page == app.config.root_doc:
        missing = {name for name in OPTIONAL if name not in app.env.found_docs}
        source[0] = "\n".join(line for line in source[0].split("\n") if line not in missing)


def setup(app):
    app.connect("source-read", without_missing)
