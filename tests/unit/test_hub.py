"""Downloads from a local hub that answers the requests that a download makes."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from nanogen.errors import UserError
from nanogen.interop.fetching import fetch_data, fetch_model, model_files, pipeline_files
from nanogen.interop.local_hub import Answering

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# a model",
    "vae/config.json": b'{"latent_channels": 4}',
    "vae/model.safetensors": bytes(range(256)) * 40,
    "vae/pytorch_model.bin": b"a pickle",
    "unet/model.safetensors": b"something else",
    "data/train-0.parquet": b"PAR1" * 50,
    "stats/in256.npz": b"PK" * 300,
}


class Hub(Answering):
    """Serves metadata, tree and files of owner/open, refuses owner/gated, and does not know others."""

    def _json(self, value):
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def _sibling(self, name: str, body: bytes) -> dict:
        entry = {"rfilename": name, "size": len(body)}
        if name.endswith((".safetensors", ".parquet")):
            lfs = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 9}
            return {**entry, "lfs": lfs, "blobId": "of the pointer"}
        return {**entry, "blobId": hashlib.sha1(b"blob %d\0%b" % (len(body), body)).hexdigest()}

    def _file(self, name: str):
        body = FILES[name]
        if name in self.server.damaged:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.server.served.append((self.command, name))
        etag = hashlib.sha1(body).hexdigest()
        if self.command == "GET" and name in self.server.cut:
            self.answer(500, b"")
        else:
            self.answer(200, body, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    def do_GET(self):
        self.server.tokens.add(self.headers.get("Authorization"))
        path = self.path.split("?")[0].removeprefix("/api/")
        path = path.removeprefix("/").removeprefix("models/").removeprefix("datasets/")
        owner, name, what, *rest = path.split("/")
        if self.headers.get("Authorization") in self.server.refused:
            self.answer(401, b"", **self.server.why)
        elif name == "gated":
            self.answer(403, b"", X_Error_Code="GatedRepo")
        elif name == "closed":
            self.answer(403, b"", X_Error_Message="enable access to gated repositories")
        elif name != "open":
            self.answer(404, b"", X_Error_Code="RepoNotFound")
        elif what == "revision" and rest not in (["main"], [COMMIT]):
            self.answer(404, b"", X_Error_Code="RevisionNotFound")
        elif what == "revision":
            siblings = [self._sibling(n, b) for n, b in FILES.items()]
            self._json({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings})
        elif what == "tree":
            entries = [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in FILES.items()
            ]
            self._json(entries)
        else:
            self._file("/".join(rest[1:]))

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.served, server.tokens, server.cut = [], set(), set()
    server.damaged, server.refused, server.why = set(), set(), {}
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


def stage(repo: str = "owner/open", subfolder: str = "vae", revision: str = "main") -> dict:
    hub = {"repo": repo, "revision": revision, "subfolder": subfolder}
    return {"hash": "abc", "model": {"name": "sd-vae", "kind": "vae", "hub": hub}}


def test_a_model_arrives_whole_without_pickles_and_with_its_card(hub, tmp_path: Path):
    fetch_model(stage(), tmp_path / "sd-vae")
    names = {f.relative_to(tmp_path).as_posix() for f in tmp_path.rglob("*") if f.is_file()}
    assert names == {"sd-vae/config.json", "sd-vae/model.safetensors", "sd-vae/nanogen.json"}
    assert (tmp_path / "sd-vae/model.safetensors").read_bytes() == FILES["vae/model.safetensors"]
    card = json.loads((tmp_path / "sd-vae/nanogen.json").read_text())
    assert (card["format"], card["hash"], card["commit"]) == ("nanogen.model", "abc", COMMIT)
    assert ("GET", "vae/pytorch_model.bin") not in hub.served


def test_an_interrupted_download_leaves_no_model_and_continues(hub, tmp_path: Path):
    hub.cut.add("vae/model.safetensors")
    with pytest.raises(UserError, match=r"start again|try again"):
        fetch_model(stage(), tmp_path / "sd-vae")
    assert not (tmp_path / "sd-vae").exists()
    hub.cut.clear()
    fetch_model(stage(), tmp_path / "sd-vae")
    assert hub.served.count(("GET", "vae/config.json")) == 1
    assert (tmp_path / "sd-vae/nanogen.json").exists()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"repo": "owner/gated"}, "accept its licence at .*HF_TOKEN.*source: path"),
        ({"repo": "owner/closed"}, "the hub refuses access to owner/closed: accept its licence at"),
        ({"repo": "owner/absent"}, "owner/absent is not on the hub"),
        ({"revision": "v9"}, "no revision 'v9'"),
        ({"subfolder": "elsewhere"}, "no \\*.safetensors"),
        ({"repo": "not a name"}, "not the name of a repository"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(hub, tmp_path: Path, keys, sentence):
    with pytest.raises(UserError, match=sentence):
        fetch_model(stage(**keys), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_no_network_and_offline_mode_name_the_way_out(hub, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot reach the hub.*source: path"):
        fetch_model(stage(), tmp_path / "model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        UserError,
        match=r"model is missing and needs a download of owner/open, but HF_HUB_OFFLINE is set",
    ):
        fetch_model(stage(), tmp_path / "model")


@pytest.mark.parametrize(
    "why", [{"X_Error_Message": "Invalid credentials in Authorization header"}, {}], ids=["said", "not"]
)
def test_a_token_that_the_hub_does_not_know_is_said_and_not_shown(
    hub, tmp_path: Path, monkeypatch, caplog, why
):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    hub.refused, hub.why = {"Bearer hf_wrong"}, why
    with pytest.raises(UserError, match=r"does not accept the token in HF_TOKEN.*source: path") as found:
        fetch_model(stage(), tmp_path / "model")
    assert "hf_wrong" not in str(found.value) + caplog.text
    assert not list(tmp_path.iterdir())


def test_a_gated_repository_without_a_token_is_said_too(hub, tmp_path: Path):
    hub.refused, hub.why = {None}, {"X_Error_Code": "GatedRepo"}
    with pytest.raises(UserError, match=r"owner/open is gated: accept its licence at .*HF_TOKEN"):
        fetch_data("owner/open", tmp_path / "data")


@pytest.mark.parametrize("name", ["vae/model.safetensors", "vae/config.json"])
def test_content_that_is_not_the_hubs_is_refused_and_fetched_again(hub, tmp_path: Path, name):
    hub.damaged.add(name)
    with pytest.raises(
        UserError, match=f"{name} is incomplete or differs from the file on the hub; start again"
    ):
        fetch_model(stage(), tmp_path / "model")
    assert not (tmp_path / "model").exists()
    hub.damaged.clear()
    fetch_model(stage(), tmp_path / "model")
    arrived = tmp_path / "model" / Path(name).name
    assert arrived.read_bytes() == FILES[name]


def test_the_token_comes_from_the_environment_only(hub, tmp_path: Path, monkeypatch, caplog):
    fetch_model(stage(), tmp_path / "first")
    assert hub.tokens == {None}
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch_model(stage(), tmp_path / "second")
    assert "Bearer hf_secret" in hub.tokens
    assert "hf_secret" not in caplog.text


def with_statistics(name: str = "in256") -> dict:
    whole = stage()
    hub = {"repo": "owner/open", "revision": "main", "subfolder": "stats"}
    whole["model"] |= {"statistics": name, "statistics_hub": hub}
    return whole


def test_published_statistics_come_with_the_network_that_they_are_of(hub, tmp_path: Path):
    hub.cut.add("stats/in256.npz")
    with pytest.raises(UserError, match=r"try again later.*models\.sd-vae\.statistics to null"):
        fetch_model(with_statistics(), tmp_path / "sd-vae")
    assert not (tmp_path / "sd-vae").exists()
    hub.cut.clear()
    fetch_model(with_statistics(), tmp_path / "sd-vae")
    names = {f.relative_to(tmp_path).as_posix() for f in tmp_path.rglob("*") if f.is_file()}
    assert names == {
        f"sd-vae/{name}" for name in ("config.json", "model.safetensors", "nanogen.json", "in256.npz")
    }
    assert (tmp_path / "sd-vae/in256.npz").read_bytes() == FILES["stats/in256.npz"]
    card = json.loads((tmp_path / "sd-vae/nanogen.json").read_text())
    assert (card["statistics_repository"], card["statistics_commit"]) == ("owner/open", COMMIT)
    with pytest.raises(UserError, match=r"no file stats/in265\.npz; did you mean 'stats/in256\.npz'"):
        fetch_model(with_statistics("in265"), tmp_path / "other")


def test_pickled_weights_alone_are_refused_by_name():
    with pytest.raises(UserError, match=r"only pytorch_model\.bin, which could execute code"):
        model_files(["config.json", "pytorch_model.bin"], "", "owner/old")


OF_A_PIPELINE = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/chat_template.jinja",
    "tokenizer/tokenizer_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model-00001-of-00001.safetensors",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
]
BESIDE_IT = [
    "README.md",
    "big.safetensors",  # all networks in one file
    "pipeline.py",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/pytorch_model.bin",
    "text_encoders/clip.safetensors",  # not a component: it has no configuration
    "transformer/deep/er/config.json",
]


def test_a_pipeline_brings_its_components_once_and_no_code():
    assert pipeline_files(sorted(OF_A_PIPELINE + BESIDE_IT), "owner/open") == OF_A_PIPELINE


def test_what_is_no_pipeline_of_safetensors_is_refused():
    with pytest.raises(UserError, match="has no model_index"):
        pipeline_files(["vae/config.json", "vae/model.safetensors"], "owner/open")
    pickled = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin"]
    with pytest.raises(UserError, match=r"only unet/diffusion_pytorch_model\.bin, which could execute"):
        pipeline_files(pickled, "owner/old")


@pytest.fixture
def in_shards(monkeypatch) -> None:
    """Give the repository four tables of 30 training rows, two of 5 validation rows, and a list."""

    def table(rows: int) -> bytes:
        buffer = io.BytesIO()
        parquet.write_table(pa.table({"label": list(range(rows))}), buffer)
        return buffer.getvalue()

    for split, count, rows in (("train", 4, 30), ("validation", 2, 5)):
        for k in range(count):
            name = f"images/{split}-{k:05d}-of-{count:05d}.parquet"
            monkeypatch.setitem(FILES, name, table(rows))
    monkeypatch.setitem(FILES, "images/classes.txt", b"a")
    monkeypatch.delitem(FILES, "data/train-0.parquet")


@pytest.mark.parametrize(
    ("part", "train", "val"),
    [
        ({"shards": 2}, 2, 2),
        ({"shards": 1}, 1, 1),
        ({"images": 31}, 2, 2),
        ({"images": 5}, 1, 1),
        ({"images": 1000}, 4, 2),
        ({"images": 61, "shards": 2}, 2, 2),
    ],
)
def test_a_part_of_a_data_set_is_the_first_shards_of_each_split(
    hub, in_shards, tmp_path, part, train, val
):
    fetch_data("owner/open", tmp_path / "data", **part)
    there = sorted(path.name for path in (tmp_path / "data/images").iterdir())
    assert there == [
        "classes.txt",
        *(f"train-{k:05d}-of-00004.parquet" for k in range(train)),
        *(f"validation-{k:05d}-of-00002.parquet" for k in range(val)),
    ]
    served = [name for what, name in hub.served if what == "GET" and name.endswith(".parquet")]
    assert len(served) == len(set(served)) == train + val


def test_a_data_set_brings_its_data_files(hub, tmp_path: Path):
    fetch_data("owner/open", tmp_path / "data")
    arrived = tmp_path / "data/data/train-0.parquet"
    assert arrived.read_bytes() == FILES["data/train-0.parquet"]
    assert not list((tmp_path / "data").rglob("*.safetensors"))
    fetch_data(f"owner/open@{COMMIT}", tmp_path / "pinned")
    with pytest.raises(UserError, match="no revision 'v9'"):
        fetch_data("owner/open@v9", tmp_path / "other")
    with pytest.raises(UserError, match="exists already"):
        fetch_data("owner/open", tmp_path / "data")
    card = json.loads((tmp_path / "data" / "nanogen.json").read_text())
    assert card["format"] == "nanogen.dataset"
    assert card["repository"] == "owner/open"
