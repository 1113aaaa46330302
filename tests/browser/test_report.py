"""A study's report opens on its results and can be read on a phone."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_on_results_and_fits_its_window(opened, report, width):
    page = opened(report, width, ready="footer", has_touch=True, is_mobile=width < 600)
    first = page.locator("section").first
    assert first.locator("h2").inner_text().startswith("Table 2.")
    box = first.locator("tbody td").first.bounding_box()
    assert box["y"] < 844  # a number is visible without scrolling
    for folded in page.locator("main > details > summary").all():
        folded.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = page.locator("#figure1 img")
    assert picture.evaluate("image => image.naturalWidth") > 1000
    assert page.locator("#table3 td small").first.is_visible()  # an interval


def test_on_a_phone_tables_scroll_and_their_edge_shows_it(opened, report):
    page = opened(report, 390, ready="footer", has_touch=True, is_mobile=True)
    assert "scroll sideways" in page.locator("header").inner_text()
    table = page.locator("#table2 .scroll")
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    table.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    name = page.locator("#table2 td").first.bounding_box()
    assert 0 <= name["x"] < 40  # the method's name stays


def test_the_papers_tables_are_there_and_apart(opened, report):
    page = opened(report, ready="footer")
    papers = page.locator("details", has_text="The paper's own tables")
    assert not papers.locator("table").is_visible()
    papers.locator("summary").first.click()
    assert "FLUX.2-VAE" in papers.locator("table").inner_text()
    assert "FLUX.2-VAE + REG" not in page.locator("#table2").inner_text()
