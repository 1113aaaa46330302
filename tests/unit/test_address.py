"""Fetching a file by its URL from a local server, and loading what was fetched."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from nanogen.config import load_study, stages
from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.errors import UserError
from nanogen.interop.fetching import fetch_model
from nanogen.models.network_files import read_pickled_state
from nanogen.prompts.prompts import write_prompts
from nanogen.remote_file import fetch_file

CONTENT = bytes(range(256)) * 100
INSTEAD = "give a path"


class Server(BaseHTTPRequestHandler):
    """Serves ``server.body``, resumes at a Range, and ends after ``server.most`` bytes."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        body, start = self.server.body, int(asked[6:-1]) if asked and self.server.resumes else 0
        if self.path != "/release/weights.bin" or (asked and start >= len(body)):
            self.send_error(416 if asked else 404)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: self.server.most])


@pytest.fixture
def server(monkeypatch):
    """A running server; its ``address`` is the file's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.body, server.most, server.resumes, server.asked = CONTENT, None, True, []
    server.address = f"http://127.0.0.1:{server.server_port}/release/weights.bin"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def source(url: str, content: bytes = CONTENT) -> dict:
    return {"url": url, "sha256": hashlib.sha256(content).hexdigest()}


def test_a_file_arrives_whole_and_once(server, tmp_path: Path):
    for _ in range(2):
        path = fetch_file(source(server.address), tmp_path / "models", INSTEAD)
    assert path == tmp_path / "models" / "weights.bin"
    assert path.read_bytes() == CONTENT
    assert server.asked == [None]
    assert os.listdir(path.parent) == ["weights.bin"]


@pytest.mark.parametrize("resumes", [True, False])
def test_an_interrupted_download_continues_where_the_server_can(server, tmp_path: Path, resumes):
    server.most, server.resumes = 1000, resumes
    with pytest.raises(UserError, match=r"did not arrive .*what has arrived is kept"):
        fetch_file(source(server.address), tmp_path, INSTEAD)
    assert not (tmp_path / "weights.bin").exists()
    server.most = None
    assert fetch_file(source(server.address), tmp_path, INSTEAD).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-"]


def test_what_arrived_before_a_stop_is_not_fetched_again(server, tmp_path: Path):
    (tmp_path / ".weights.bin.partial").write_bytes(CONTENT)
    assert fetch_file(source(server.address), tmp_path, INSTEAD).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_another_content_is_refused_and_not_kept(server, tmp_path: Path):
    with pytest.raises(UserError, match=r"has SHA-256 .* not .*; give a path"):
        fetch_file(source(server.address, b"else"), tmp_path, INSTEAD)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "weights.bin").write_bytes(b"cut")
    with pytest.raises(UserError, match="its SHA-256 differs; remove it"):
        fetch_file(source(server.address), tmp_path, INSTEAD)


def test_without_network_the_error_says_where_a_copy_goes(server, tmp_path: Path, monkeypatch):
    with pytest.raises(UserError, match=r"status 404.*give a path"):
        fetch_file(source(server.address + "x"), tmp_path, INSTEAD)
    with pytest.raises(UserError, match="did not arrive"):
        fetch_file(source("http://127.0.0.1:9/weights.bin"), tmp_path, INSTEAD)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=f"put a copy at {tmp_path}/weights.bin, or give a path"):
        fetch_file(source(server.address), tmp_path, INSTEAD)
    (tmp_path / "weights.bin").write_bytes(CONTENT)
    assert fetch_file(source(server.address), tmp_path, INSTEAD).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_copy_on_this_machine_has_an_address_too(tmp_path: Path):
    (tmp_path / "copy.bin").write_bytes(CONTENT)
    path = fetch_file(source((tmp_path / "copy.bin").as_uri()), tmp_path / "models", INSTEAD)
    assert path.read_bytes() == CONTENT


# ------------------------------------------------------------------- what is fetched that way


def inception_stage(file: dict) -> dict:
    """The paper study's Inception network with another address."""
    study = load_study(
        "paper", {"models": {"inception": {"file": file, "statistics": None, "fdr_statistics": None}}}
    )
    return stages.model(study, "inception")


def test_the_inception_of_fid_is_fetched_and_loaded(server, tmp_path: Path):
    from nanogen.metrics.extractors import load_extractor
    from nanogen.models.inception import InceptionV3

    torch.manual_seed(0)
    network = InceptionV3().eval()
    torch.save(network.state_dict(), tmp_path / "released.pth")
    server.body = (tmp_path / "released.pth").read_bytes()
    stage = inception_stage(source(server.address, server.body))
    fetch_model(stage, tmp_path / "models" / "inception")
    card = json.loads((tmp_path / "models/inception/nanogen.json").read_text())
    assert (card["hash"], card["url"]) == (stage["hash"], server.address)
    extractor = load_extractor(tmp_path / "models" / "inception", read(Model, stage["model"]))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), np.uint8)
    found = extractor(images)
    features, logits = found.features, found.logits
    with torch.no_grad():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    for ours, theirs in zip((features, logits), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-12)
    assert (features.shape, logits.shape) == ((3, 2048), (3, 1008))
    # unbiased: the network's own bias is not added
    weight = network.fc.weight.detach().numpy()
    np.testing.assert_allclose(logits, features @ weight.T, rtol=1e-3, atol=1e-10)


class Evil:
    def __reduce__(self):
        return (os.system, ("touch executed",))


@pytest.mark.parametrize("content", [{"weight": Evil()}, ["no", "names"]])
def test_a_pickle_that_is_not_weights_alone_is_not_executed(tmp_path: Path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"without executing code|expected a dictionary of weights"):
        read_pickled_state(tmp_path / "weights.pth")
    assert not (tmp_path / "executed").exists()


def test_genevals_prompts_are_fetched_beside_the_studys(server, tmp_path: Path):
    lines = [{"tag": "colors", "prompt": "a red cup", "include": [{"class": "cup", "count": 1}]}]
    server.body = "\n".join(map(json.dumps, lines)).encode()
    lists = {"rows": {"geneval": None, "dpg": None, "genai": None}, "questions": "prompts"}
    stage = stages.prompts(load_study("paper", {"evaluation": lists}))
    assert stage["file"]["url"].endswith("/evaluation_metadata.jsonl")
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(server.body)
    stage["file"] |= source(copy.as_uri(), server.body)
    write_prompts(stage, tmp_path / "prompts" / "geneval.json")
    assert json.loads((tmp_path / "prompts/geneval.json").read_text())["prompts"][:1] == lines


def test_without_a_sha256_the_first_content_is_noted_and_compared(server, tmp_path):
    anything = {"url": server.address, "sha256": None}
    path = fetch_file(anything, tmp_path, INSTEAD)
    assert fetch_file(anything, tmp_path, INSTEAD) == path
    path.write_bytes(b"another")
    with pytest.raises(UserError, match="its SHA-256 differs"):
        fetch_file(anything, tmp_path, INSTEAD)
    path.unlink()
    assert fetch_file(anything, tmp_path, INSTEAD).read_bytes() == CONTENT
    path.unlink()
    (tmp_path / f"{path.name}.sha256").write_text("0" * 64)
    with pytest.raises(UserError, match=r"not 0000.*it was changed"):
        fetch_file(anything, tmp_path, INSTEAD)
