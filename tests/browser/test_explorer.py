"""The explorer in use: switching, selecting, sorting and opening, by mouse, keyboard and phone."""

from __future__ import annotations

import csv
import json
import re
from importlib import resources
from itertools import pairwise

import pytest
from scipy import stats

from nanogen.config.yaml_files import CONFIG
from nanogen.report.explorer import page as explorer
from nanogen.report.rows import read_rows


def rows(name: str, folder=CONFIG / "published") -> dict[str, dict[str, str]]:
    """Rows of a table by method; of Table 3, only those at 100,000 iterations."""
    with open(folder / f"{name}.csv", newline="", encoding="utf-8") as file:
        return {row["method"]: row for row in csv.DictReader(file) if row.get("iterations") != "200000"}


def pairs(x: str, y: str, families, table: str = "table2", folder=CONFIG / "published"):
    """(x, y) of every method of these families, with x from an ImageNet table and y from Table 3."""
    imagenet, text = rows(table, folder), rows("table3", folder)
    return [
        (float(row[x]), float(text[method][y]))
        for method, row in imagenet.items()
        if method in text and row["family"] in families
    ]


def value(page, name: str) -> float:
    return float(page.locator(f"#{name}").get_attribute("value"))


def assert_statistics(page, points) -> None:
    """Assert that the page's statistics of ``points`` are scipy's."""
    x, y = zip(*points, strict=True)
    reference = stats.pearsonr(x, y)
    assert value(page, "n") == len(points)
    assert value(page, "r") == pytest.approx(reference.statistic, abs=1e-6)
    low, high = map(float, page.locator("#interval").get_attribute("data-interval").split())
    expected = reference.confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert value(page, "rho") == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-6)
    assert page.locator("#r").inner_text() == f"{reference.statistic:.3f}".replace("-", "−")


def switch(page, family: str) -> None:
    page.click(f"#legend [data-family={family}]")


def drawn(page, count: int) -> None:
    """Wait until the plot shows ``count`` points."""
    page.wait_for_selector(f"#chart[data-points='{count}']")
    assert page.locator("#chart svg path[aria-roledescription='symbol mark']").count() == count


def centre(page, method_name: str) -> tuple[float, float]:
    """Screen position of a method's point."""
    point = page.locator(f"#chart svg path[aria-label^='{method_name}:']")
    box = point.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def column(page, heading: str) -> list[str]:
    """Cells of a leaderboard column, top to bottom."""
    titles = page.locator("#board thead tr:last-child th").all_inner_texts()
    index = next(i for i, title in enumerate(titles) if title.strip(" ▲▼").startswith(heading))
    return page.locator(f"#board tbody tr > :nth-child({index + 1})").all_inner_texts()


@pytest.mark.slow
def test_it_opens_on_the_papers_first_figure(opened, published_page):
    page = opened(published_page)
    drawn(page, 21)
    assert page.locator("#r").inner_text() == "−0.555"
    assert_statistics(page, pairs("fid", "geneval", ["rae", "vae"]))


def test_the_legend_switches_families(opened, published_page):
    page = opened(published_page)
    shown = ["rae", "vae"]
    for family in ("pixel", "few-step"):
        switch(page, family)
        shown.append(family)
        expected = pairs("fid", "geneval", shown)
        drawn(page, len(expected))
        assert_statistics(page, expected)
    switch(page, "vae")
    drawn(page, 13)
    assert_statistics(page, pairs("fid", "geneval", ["rae", "pixel", "few-step"]))
    assert page.locator("#legend [data-family=vae]").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize(
    ("score", "guided", "unguided"),
    [("geneval", -0.555, -0.267), ("dpg_bench", -0.580, -0.369), ("genai_bench", -0.377, -0.620)],
)
def test_the_guidance_switch_gives_the_papers_r(opened, published_page, score, guided, unguided):
    page = opened(published_page)
    page.select_option("#y", score)
    drawn(page, 21)
    assert round(value(page, "r"), 3) == guided
    page.check("#guidances input[value=nocfg]")
    drawn(page, 21)
    assert round(value(page, "r"), 3) == unguided
    assert_statistics(page, pairs("fid", score, ["rae", "vae"], "table4"))
    assert "ImageNet, without guidance" in page.locator("#board thead").inner_text()
    assert column(page, "FID")[0] == "2.08"


def test_any_two_columns_can_be_plotted(opened, published_page):
    page = opened(published_page)
    page.select_option("#x", "mind_dinov2")
    page.select_option("#y", "fdr_inception")
    drawn(page, 21)
    points = [
        (float(row["mind_dinov2"]), float(row["fdr_inception"]))
        for row in rows("table2").values()
        if row["family"] in ("rae", "vae")
    ]
    assert_statistics(page, points)


def drag(page, start, end) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=3)
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def test_a_rectangle_selects_and_r_is_of_what_is_in_it(opened, published_page):
    page = opened(published_page)
    drawn(page, 21)
    left, top = centre(page, "FLUX.2-VAE + REG")
    right, bottom = centre(page, "SD-VAE-EMA")
    drag(page, (left - 15, top - 25), (right + 5, bottom + 6))
    inside = [
        (fid, score)
        for fid, score in pairs("fid", "geneval", ["rae", "vae"])
        if 1.44 <= fid <= 2.43 and 0.578 <= score <= 0.691
    ]
    assert len(inside) == 10
    assert_statistics(page, inside)
    assert page.locator("#n").inner_text() == "10 of 21"
    assert page.locator("#board tr.selected").count() == 10
    box = [
        float(page.locator(f"#{name}").input_value()) for name in ("x-from", "x-to", "y-from", "y-to")
    ]
    assert 1.37 < box[0] < 1.44 < 2.43 < box[1] < 2.46
    assert 0.57 < box[2] < 0.578 < 0.691 < box[3]
    page.mouse.click(right + 40, bottom + 40)  # an empty spot, which clears the selection
    assert value(page, "n") == 21


def test_a_finger_that_scrolls_the_page_over_the_plot_selects_nothing(opened, published_page):
    """The browser ends such a touch by pointercancel, without pointerup."""
    page = opened(published_page, 390, has_touch=True, is_mobile=True)
    drawn(page, 21)
    x, y = centre(page, "SD-VAE-EMA")
    page.evaluate(
        """async ([x, y]) => {
            const plot = document.elementFromPoint(x, y);
            const at = (y) => ({ bubbles: true, pointerType: "touch", clientX: x, clientY: y });
            const send = async (target, kind, y) => {
                target.dispatchEvent(new PointerEvent(kind, at(y)));
                await new Promise((resolve) => setTimeout(resolve, 20));
            };
            await send(plot, "pointerdown", y);
            for (const step of [4, 8, 12]) await send(plot, "pointermove", y + step);
            await send(plot, "pointercancel", y + 12);
            for (const step of [20, 40]) await send(document.body, "pointermove", y + step);
        }""",
        [x, y],
    )
    assert value(page, "n") == 21
    assert page.locator("#x-from").input_value() == ""


def test_constant_values_have_no_correlation(opened, published_page):
    """The mean of ten times 0.1 is not 0.1."""
    page = opened(published_page)
    script = (resources.files("nanogen.report.explorer") / "template/statistics.js").read_text()
    call = "pearson(Array(10).fill(0.1), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 8)"
    assert page.evaluate(f"(() => {{ {script}; return {call}; }})()") is None


def test_a_rectangle_can_be_typed_and_taken_back(opened, published_page):
    page = opened(published_page)
    page.fill("#x-from", "1.5")
    page.fill("#x-to", "2.5")
    points = pairs("fid", "geneval", ["rae", "vae"])
    assert_statistics(page, [point for point in points if 1.5 <= point[0] <= 2.5])
    frame = page.locator("#chart .mark-rect path").bounding_box()  # unbounded above and below
    assert frame["height"] > 300
    assert 100 < frame["width"] < 400
    page.fill("#x-to", "1.6")
    assert page.locator("#r").inner_text() == "–"
    assert "needs at least 8 points" in page.locator("#verdict").inner_text()
    page.click("#clear")
    assert_statistics(page, points)


def test_a_click_on_a_heading_sorts(opened, published_page):
    page = opened(published_page)
    page.click("#board [data-key=geneval]")
    scores = column(page, "GenEval")
    assert scores[0] == "0.854"
    assert all(float(a) >= float(b) for a, b in pairwise(scores))
    assert page.locator("#board th[aria-sort=descending]").inner_text().startswith("GenEval")
    page.click("#board [data-key=geneval]")
    assert column(page, "GenEval") == scores[::-1]
    page.click("#board [data-key=fid]")
    for _ in range(2):  # public models have no FID and come last in both orders
        fids = column(page, "FID")
        assert fids[-5:] == ["–"] * 5
        assert column(page, "#")[-6:] == ["26", *["–"] * 5]
        page.click("#board [data-key=fid]")
    page.click("#board [data-key=name]")
    assert column(page, "Method")[0].startswith("DINOv2-B")


def test_the_best_values_are_marked_and_one_axis_is_called_task_specific(opened, published_page):
    page = opened(published_page)
    assert page.locator("#board b").all_inner_texts() == ["1.37", "294.1", "0.691", "0.840", "0.730"]
    badges = page.locator("#board tr:has(.badge)")
    assert badges.count() == 5
    assert "task-specific: Text-to-image only" in badges.first.inner_text()


def test_every_column_is_shown_on_request(opened, published_page):
    page = opened(published_page)
    assert page.locator("#board thead button").count() == 6
    page.check("#all-columns")
    assert page.locator("#board thead button").count() == 16
    page.click("#board [data-key=mind_clip], #board [data-key=mind_dinov2]")
    assert column(page, "MIND DINOv2")[0] == "27.40"


def test_a_click_on_a_point_opens_its_method(opened, published_page):
    page = opened(published_page)
    drawn(page, 21)
    page.mouse.click(*centre(page, "FLUX.1-VAE"))
    text = page.locator("dialog[open]").inner_text()
    assert page.locator("dialog h2").inner_text() == "FLUX.1-VAE"
    assert re.search(r"FID ↓\s+3\.55\s+15\.75", text)
    assert "200K iterations: GenEval ↑ 0.544, DPG-Bench ↑ 0.816, GenAI-Bench ↑ 0.687" in text
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_the_keyboard_reaches_points_legend_and_headings(opened, published_page):
    page = opened(published_page)
    drawn(page, 21)
    page.focus("#chart")
    page.keyboard.press("ArrowRight")  # the lowest FID
    assert page.locator("#pointed").inner_text() == "FLUX.2-VAE: FID ↓ 1.37, GenEval ↑ 0.675"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "FLUX.2-VAE + REG" in page.locator("dialog[open] h2").first.inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "chart"
    page.focus("#legend [data-family=pixel]")
    page.keyboard.press("Enter")
    drawn(page, 24)
    assert page.evaluate("document.activeElement.dataset.family") == "pixel"
    page.focus("#board [data-key=is]")
    page.keyboard.press("Enter")
    assert column(page, "IS")[0] == "294.1"
    assert page.evaluate("document.activeElement.dataset.key") == "is"
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_everything_to_press_is_reached_by_tab(opened, published_page):
    page = opened(published_page)
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id"))
    assert {
        "guidances",
        "x",
        "y",
        "legend",
        "chart",
        "x-from",
        "y-to",
        "all-columns",
        "board",
    } <= reached


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(opened, study_page, scheme):
    page = opened(study_page, 390, color_scheme=scheme, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.check("#all-columns")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    table = page.locator(".scroll")
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    page.tap("#board [data-method=jit] button")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("dialog").evaluate("box => box.scrollWidth <= box.clientWidth")


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(opened, published_page, scheme):
    page = opened(published_page, color_scheme=scheme)
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.5) == (scheme == "light")
    for selector in ("h1", ".hint", ".kicker", "#board .rank"):
        ink = luminance(page.locator(selector).first.evaluate("e => getComputedStyle(e).color"))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 4.5, selector


def test_a_small_study_opens_with_all_its_methods_and_the_paper_with_its_figures(opened, study_page):
    page = opened(study_page)
    drawn(page, 7)  # six methods, MeanFlow with one and two steps
    page.check("#sources input[value=published]")
    drawn(page, 21)
    page.check("#sources input[value=nano]")
    drawn(page, 7)


def test_a_score_stands_above_its_interval_and_its_chance_level(opened, study_page, study_folder):
    page = opened(study_page, 390, has_touch=True, is_mobile=True)
    assert page.locator(".cue").is_visible()  # the table scrolls and shows that it does
    table = study_folder / "results" / "nano" / "tables" / "table3.csv"
    row = next(row for row in read_rows(table) if row["method"] == "jit")
    shown = page.locator("#board tr[data-method=jit]").inner_text()
    for key in ("simpleeval", "simpleeval_low", "simpleeval_high"):
        assert f"{row[key]:.3f}" in shown
    assert f"chance {row['chance_dpg_bench']:.3f}" in shown
    assert page.locator("#warning").is_hidden()  # some score of the study is above chance


def test_measured_and_published_numbers_are_told_apart(opened, study_page, study_folder):
    page = opened(study_page)
    assert "Measured by study nano" in page.locator("#note").inner_text()
    accent = "getComputedStyle(document.querySelector('#note')).borderLeftColor"
    measured = page.evaluate(accent)
    assert [page.locator(f"#{name}").inner_text() for name in ("r", "interval", "rho", "n")] == [
        "–", "–", "–", "7",
    ]  # fmt: skip
    assert "Too few for r" in page.locator("#verdict").inner_text()  # as in this study's figures
    page.check("#sources input[value=published]")
    assert "The paper's own numbers" in page.locator("#note").inner_text()
    assert page.evaluate(accent) != measured
    assert_statistics(page, pairs("fid", "geneval", ["rae", "vae"]))


def test_a_measured_method_shows_samples_and_provenance(opened, study_page, study_folder):
    page = opened(study_page)
    page.click("#board [data-method=meanflow-nfe2] button")
    dialog = page.locator("dialog[open]")
    assert dialog.locator("img").count() == 18  # six of each of three sample sets
    assert dialog.locator("img").evaluate_all("all => all.every(image => image.naturalWidth === 32)")
    assert "a photo of 3 circles" in dialog.inner_text()
    dialog.locator("summary").first.click()
    file = "results/nano/runs/imagenet/meanflow/cfg-nfe2/metrics/fid.json"
    hash_ = json.loads((study_folder / file).read_text())["hash"]
    said = dialog.locator("details").first.inner_text()
    assert all(text in said for text in (hash_, file, "fid by the test's protocol", "samples abc"))


def test_names_are_text_and_never_markup(opened, tmp_path):
    content = explorer.content()
    evil = "</script><script>document.title = 'x'</script><img src=x onerror=alert(1)>"
    content["sources"][0]["rows"][0]["name"] = evil
    explorer.write(content, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    assert page.title().startswith("DiffusionBench")
    assert page.locator("#board [data-method=dinov2-b] button").inner_text() == evil


def test_every_method_of_the_study_has_its_row(opened, study_page):
    page = opened(study_page)
    one_row = {"dinov2-b", "spatialpe-l", "sd-vae-mse", "flux2-vae", "jit"}
    found = page.locator("#board tbody tr").evaluate_all("all => all.map(row => row.dataset.method)")
    assert set(found) == {*one_row, "meanflow-nfe1", "meanflow-nfe2"}
