"""Figures and grids: the published correlations, small studies, reproducible files."""

import json
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from nanogen.cli import main
from nanogen.config.study_schema import FigureStyle
from nanogen.data import hdf5
from nanogen.files import label, write_json
from nanogen.report import scatter_figures, style
from nanogen.report.labels import place

PLAIN = '{"labels": false}'


@pytest.mark.parametrize(
    ("name", "expected"),
    [("figure1", (-0.555, -0.580, -0.377)), ("figure5", (-0.267, -0.369, -0.620))],
)
def test_published_correlations_over_21_latent_space_methods(name, expected):
    (panels,) = scatter_figures.published_panels(name)
    assert [panel.metric for panel in panels] == ["geneval", "dpg_bench", "genai_bench"]
    assert [len(panel.points) for panel in panels] == [21, 21, 21]
    assert tuple(round(panel.correlation.value, 3) for panel in panels) == expected


def test_a_line_is_drawn_where_the_interval_excludes_no_correlation():
    (panels,) = scatter_figures.published_panels("figure1")
    drawn = scatter_figures.draw([list(panels)], FigureStyle(labels=False))
    lines = [[line for line in axes.lines if line.get_linestyle() != "None"] for axes in drawn.axes]
    for panel, found, axes in zip(panels, lines, drawn.axes, strict=True):
        low, high = panel.correlation.interval
        assert low < panel.correlation.value < high
        assert bool(found and len(found[0].get_xdata())) == (high < 0)
        assert f"[−{-low:.2f}" in axes.get_title("left")
    assert {panel.trend for panel in panels} == {True, False}


def test_pixel_space_methods_strengthen_the_published_correlation():
    without, with_guidance = scatter_figures.published_panels("figure4")
    latent = scatter_figures.published_panels("figure1")[0]
    assert {len(panel.points) for panel in [*without, *with_guidance]} == {24}
    stronger = zip(with_guidance, latent, strict=True)
    assert all(all_.correlation.value < some.correlation.value for all_, some in stronger)


def test_the_legend_of_one_panel_is_within_the_figure():
    families = ("rae", "vae", "pixel", "few-step")
    points = tuple(scatter_figures.Point(f, f, x, 1.0 - 0.1 * x) for x, f in enumerate(families, 1))
    drawn = scatter_figures.draw([[scatter_figures.Panel("geneval", "with CFG", points)]], FigureStyle())
    legend = drawn.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= drawn.bbox.x1
    assert len(drawn.legends[0].get_texts()) == 4


def _tables(folder, methods: int):
    rows = [("dinov2-b", "DINOv2-B", "rae", 5, 0.6), ("sd-vae-mse", "SD-VAE-MSE", "vae", 7, 0.5)]
    rows = [*rows, ("jit", "JiT", "pixel", 20, 0.3)][:methods]
    (folder / "table2.csv").write_text(
        "method,name,family,fid\n" + "".join(f"{m},{n},{f},{x}\n" for m, n, f, x, _ in rows)
    )
    (folder / "table3.csv").write_text(
        "method,name,family,geneval\n" + "".join(f"{m},{n},{f},{y}\n" for m, n, f, _, y in rows)
    )
    return ["--input", str(folder / "table2.csv"), str(folder / "table3.csv")]


def test_a_studys_figure_has_a_panel_for_its_metric_and_no_r_of_three_points(tmp_path, capsys):
    inputs = _tables(tmp_path, 3)
    out = str(tmp_path / "f")
    assert main(["figure", "figure1", "--study", "smoke", *inputs, "--output-prefix", out]) == 0
    assert "geneval, with CFG: n = 3, too few for r" in capsys.readouterr().out
    assert all((tmp_path / f"f.{suffix}").stat().st_size > 1000 for suffix in ("pdf", "png", "svg"))


def test_two_points_have_no_r(tmp_path, capsys):
    inputs = _tables(tmp_path, 2)
    out = str(tmp_path / "f")
    assert main(["figure", "figure1", "--study", "smoke", *inputs, "--output-prefix", out]) == 0
    assert "n = 2, too few for r" in capsys.readouterr().out


def test_a_score_that_all_methods_share_has_no_r(tmp_path, capsys):
    lines = [f"m{i},M{i},vae," for i in range(10)]
    for name, key in (("table2", "fid"), ("table3", "geneval")):
        rows = [f"{line}{0.1 if key == 'geneval' else 5 + i}" for i, line in enumerate(lines)]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"method,name,family,{key}", *rows, ""]))
    inputs = ["--input", *(str(tmp_path / f"table{n}.csv") for n in (2, 3))]
    out = str(tmp_path / "f")
    assert main(["figure", "figure1", "--study", "smoke", *inputs, "--output-prefix", out]) == 0
    assert "n = 10, r undefined (constant)" in capsys.readouterr().out


# FID and DPG-Bench of the methods of study nano-all.
CROWDED = [
    ("DINOv2-B", "rae", 8.14, 0.597),
    ("DINOv2-B + REG", "rae", 9.13, 0.646),
    ("DINOv3-B", "rae", 8.76, 0.534),
    ("DINOv3-B + REG", "rae", 8.99, 0.575),
    ("SigLIP2-B", "rae", 24.21, 0.247),
    ("PE-L", "rae", 17.05, 0.506),
    ("LangPE-L", "rae", 15.54, 0.555),
    ("SpatialPE-L", "rae", 10.78, 0.56),
    ("SD-VAE-EMA", "vae", 12.57, 0.664),
    ("SD-VAE-EMA + REG", "vae", 12.49, 0.746),
    ("SD-VAE-MSE", "vae", 4.44, 0.671),
    ("SDXL-VAE", "vae", 3.48, 0.636),
    ("SD3.5-VAE", "vae", 3.18, 0.585),
    ("FLUX.1-VAE", "vae", 10.68, 0.585),
    ("FLUX.2-VAE", "vae", 9.59, 0.657),
    ("FLUX.2-VAE + REG", "vae", 9.45, 0.606),
    ("Qwen-Image-VAE", "vae", 6.55, 0.607),
    ("E2E-VA-VAE", "vae", 12.34, 0.585),
    ("E2E-FLUX.1-VAE", "vae", 10.8, 0.589),
    ("E2E-SD3.5-VAE", "vae", 3.43, 0.601),
    ("E2E-Qwen-Image-VAE", "vae", 5.16, 0.621),
    ("JiT", "pixel", 10.11, 0.594),
    ("PixNerd", "pixel", 13.82, 0.549),
    ("PixelGen", "pixel", 6.53, 0.645),
    ("MeanFlow (NFE=1)", "few-step", 10.87, 0.685),
    ("MeanFlow (NFE=2)", "few-step", 5.99, 0.679),
]


def test_no_label_touches_another_one_in_a_crowded_panel():
    points = tuple(scatter_figures.Point(*row) for row in CROWDED)
    panel = scatter_figures.Panel("dpg_bench", "with CFG", points)
    figure = scatter_figures.draw([[panel] * 3], style.default("figure1"))
    for axes in figure.axes:
        names = {row[0] for row in CROWDED}
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text() in names]
        assert len(boxes) == len(CROWDED)
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    look = FigureStyle(labels=True)
    rows = [scatter_figures.published_panels("figure1")[0][:1]]
    for name in ("a", "b"):
        drawn = scatter_figures.draw(rows, look)
        with style.applied(look):
            style.save(drawn, str(tmp_path / name))
    for suffix in ("svg", "pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_style_sets_the_size_and_unknown_keys_are_refused(tmp_path, capsys):
    inputs = _tables(tmp_path, 3)
    command = ["figure", "figure1", "--study", "smoke", *inputs, "--output-prefix", str(tmp_path / "f")]
    assert main([*command, "--style", '{"width": 3, "height": 2}']) == 0
    assert Image.open(tmp_path / "f.png").size == (600, 400)
    assert main([*command, "--style", '{"widht": 3}']) == 2
    assert "widht" in capsys.readouterr().err


def test_a_missing_table_is_named_with_the_command_that_makes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", "figure1", "--study", "smoke", "--output-prefix", "f"]) == 2
    assert "snakemake results/smoke/tables/table3.csv" in capsys.readouterr().err


def test_labels_stay_inside_and_off_each_other_and_off_all_points():
    points = np.random.default_rng(3).uniform(20, 180, size=(12, 2))
    sizes = np.tile([30.0, 6.0], (12, 1))
    centres = place(points, sizes, (0, 0, 200, 200), marker=4)
    assert (centres - sizes / 2 >= 0).all()
    assert (centres + sizes / 2 <= 200).all()
    apart = np.abs(centres[:, None] - centres[None]) >= [30, 6]
    assert (apart.any(axis=-1) | np.eye(12, dtype=bool)).all()
    assert (np.abs(centres[:, None] - points[None]) >= [15, 3]).any(axis=-1).all()


@pytest.fixture
def samples(tmp_path):
    """Six images of three classes, each filled with one value; class names and prompts."""
    images = np.zeros((6, 32, 32, 3), np.uint8)
    images += (np.arange(6, dtype=np.uint8) * 40)[:, None, None, None]
    labels = np.repeat(np.arange(3), 2)
    about = {"method": "jit", "task": "imagenet", "variant": "cfg"}
    with hdf5.create(tmp_path / "samples.h5", label("samples", 1, "0", **about)) as file:
        file["images"], file["labels"] = images, labels
    names = json.dumps(["red circle", "blue square", "green triangle"])
    about = {"classes": names, "split": "val", "task": "imagenet"}
    with hdf5.create(tmp_path / "real.h5", label("images", 1, "0", **about)) as file:
        file["images"], file["labels"] = 255 - images, labels
    prompts = [{"prompt": f"a photo of {n} circles", "tag": "counting"} for n in (1, 2, 3)]
    write_json(tmp_path / "prompts.json", label("prompts", 1, "0", prompts=prompts))
    return tmp_path


def _grid(folder, *options: str) -> int:
    files = ["--samples", str(folder / "samples.h5"), "--output", str(folder / "grid.png")]
    return main(["grid", *files, "--title", "t", *options])


def test_a_class_grid_shows_each_classes_images_after_a_real_one(samples):
    real = ["--reference", str(samples / "real.h5")]
    assert _grid(samples, *real, "--rows", "3", "--columns", "2") == 0
    page = np.asarray(Image.open(samples / "grid.png").convert("L"))
    for row, values in enumerate([(255, 0, 40), (175, 80, 120), (95, 160, 200)]):
        line = page[46 + row * 134 + 64]
        runs = [value for value in values if value != 255]
        assert all((line == value).sum() >= 128 for value in runs)


def test_a_prompt_grid_shows_one_image_per_prompt(samples):
    prompts = ["--prompts", str(samples / "prompts.json")]
    assert _grid(samples, *prompts, "--rows", "1", "--columns", "3") == 0
    line = np.asarray(Image.open(samples / "grid.png").convert("L"))[30 + 64]
    assert all((line == value).sum() >= 128 for value in (0, 80, 160))
    assert (line == 40).sum() == 0


def test_prompts_of_another_sample_set_are_refused(samples, capsys):
    write_json(samples / "prompts.json", label("prompts", 1, "0", prompts=[{"prompt": "a"}]))
    assert _grid(samples, "--prompts", str(samples / "prompts.json")) == 2
    assert "refers to prompt 2" in capsys.readouterr().err
