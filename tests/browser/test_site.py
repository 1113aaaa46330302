"""The documentation site, opened from disk in a browser, works and requests nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def reading(chromium, site):
    """``reading(page, width)``: this page of the site in a window of this width.

    Afterwards no page may have logged an error or requested anything outside the site.
    """
    contexts, errors, requests = [], [], []

    def open_page(name: str, width: int = 1280):
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type in ("error", "warning") and errors.append(said.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{Path(site).as_uri()}/{name}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    outside = [url for url in requests if not url.startswith((Path(site).as_uri(), "data:"))]
    assert (errors, outside) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_opens_from_disk_and_fits_its_window(reading, site, width):
    page, wide = reading("index.html", width), []
    for path in sorted(Path(site).rglob("*.html")):
        page.goto(path.as_uri())
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path.name)
    assert wide == []


@pytest.mark.slow
def test_equations_are_seen_without_a_script(reading):
    page = reading("explanation/methods.html")
    boxes = [equation.bounding_box() for equation in page.locator(".equation math").all()]
    assert len(boxes) > 10
    assert all(box["width"] > 50 and box["height"] > 15 for box in boxes)


@pytest.mark.slow
def test_pictures_of_the_explorer_are_there_at_two_widths(reading):
    page = reading("explorer.html")
    widths = page.eval_on_selector_all("article img", "images => images.map(i => i.naturalWidth)")
    assert len(widths) == 2
    assert max(widths) > 2 * min(widths) > 0


@pytest.mark.slow
def test_a_word_is_found_without_a_server(reading):
    page = reading("search.html?q=guidance_interval")
    page.wait_for_selector("#search-results li")
    assert "explanation/methods.html" in page.inner_html("#search-results")
