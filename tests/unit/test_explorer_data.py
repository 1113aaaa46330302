"""The explorer's data: tables joined by method, missing values, safe embedding, no torch."""

import json
import subprocess
import sys

import pytest

from nanogen.cli import main
from nanogen.config import load_study
from nanogen.report.explorer import entries, page, thumbnails

HEADER = {
    "table2": "method,name,family,fid,is,published_fid,hash",
    "table3": "method,name,family,iterations,params,geneval,published_geneval,hash",
    "table4": "method,name,family,fid,is,hash",
}
ROWS = {
    "table2": ["jit,JiT,pixel,20.5,5.0,4.08,a1", "sd-vae-mse,SD-VAE-MSE,vae,9.5,,2.56,a2"],
    "table3": ["jit,JiT,pixel,20,900000,nan,0.5,b1", "flux-1,FLUX-1,public,,12B,0.654,0.6,b2"],
    "table4": ["jit,JiT,pixel,30.5,4.0,c1", "sd-vae-mse,SD-VAE-MSE,vae,19.5,3.0,c2"],
}


def tables(folder, **more: list[str]):
    for name, rows in ROWS.items():
        lines = [HEADER[name], *rows, *more.get(name, [])]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return [folder / f"{name}.csv" for name in ROWS]


def of_study(paths):
    return entries.measured_source(load_study("smoke"), paths)


def test_methods_are_joined_over_both_axes(tmp_path):
    source = of_study(tables(tmp_path))
    rows = {row["method"]: row for row in source["rows"]}
    assert list(rows) == ["jit", "sd-vae-mse", "flux-1"]
    assert (rows["jit"]["cfg"]["fid"], rows["jit"]["nocfg"]["fid"]) == (20.5, 30.5)
    assert rows["flux-1"]["t2i"] == {"geneval": 0.654}
    assert rows["jit"]["facts"] == {"Iters": "20", "#Params": "0.90M"}
    assert {c["key"]: c["axis"] for c in source["columns"]} == {
        "fid": "imagenet", "is": "imagenet", "geneval": "t2i",
    }  # fmt: skip
    assert rows["sd-vae-mse"]["marks"]["cfg"]["fid"] == "best"


def test_an_empty_cell_and_not_a_number_are_gaps(tmp_path):
    rows = {row["method"]: row for row in of_study(tables(tmp_path))["rows"]}
    assert rows["sd-vae-mse"]["cfg"] == {"fid": 9.5}
    assert rows["jit"]["t2i"] == {}
    assert "t2i" not in rows["sd-vae-mse"]


def test_a_method_that_stands_twice_is_refused(tmp_path, capsys):
    paths = tables(tmp_path, table2=["jit,JiT,pixel,3,3,3,a3"])
    command = ["explorer", "--source", "smoke", "--output", str(tmp_path / "p.html"), "--input"]
    assert main([*command, *map(str, paths)]) == 2
    assert "table2 has method jit twice" in capsys.readouterr().err


def test_a_missing_table_is_named_with_the_command_that_makes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explorer", "--source", "smoke", "--output", "p.html"]) == 2
    said = capsys.readouterr().err
    assert "snakemake results/smoke/tables/table2.csv --config study=smoke" in said
    assert not (tmp_path / "p.html").exists()


def test_longer_trainings_of_the_paper_stand_beside_their_method():
    rows = {row["method"]: row for row in entries.published_source()["rows"]}
    assert len(rows) == 31
    assert rows["flux2-vae"]["t2i"]["geneval"] == 0.675
    assert rows["flux2-vae"]["further"] == [
        {
            "title": "200K iterations",
            "values": {"geneval": 0.625, "dpg_bench": 0.841, "genai_bench": 0.713},
        }
    ]


def test_embedded_data_cannot_end_their_element_and_hold_finite_numbers_only():
    value = {"name": "</script><!--", "π": 1.5}
    assert "<" not in page.embedded(value)
    assert json.loads(page.embedded(value)) == value
    with pytest.raises(ValueError, match="JSON"):
        page.embedded(float("nan"))


@pytest.mark.slow
def test_a_page_is_small_and_made_without_torch(tmp_path):
    path = tmp_path / "page.html"
    code = (
        "import sys; from nanogen.cli import main;"
        f"main(['explorer', '--source', 'published', '--output', {str(path)!r}]);"
        "sys.exit(bool({'torch', 'matplotlib', 'scipy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert path.stat().st_size < 6e6
    assert main(["explorer", "--source", "published", "--output", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def test_thumbnails_are_whole_pixels_of_small_images_and_reduced_large_ones():
    import base64
    import io

    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for side, shown in ((32, 32), (256, thumbnails.SIDE)):
        image = random.integers(0, 256, (side, side, 3), np.uint8)
        kind, _, text = thumbnails.data_address(image).partition(",")
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
        assert kind.startswith("data:image/")
        assert picture.shape == (shown, shown, 3)
        assert side > 32 or (picture == image).all()
