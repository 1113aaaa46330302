"""A local hub that serves the repositories in a folder and accepts uploads to them.

It implements what `huggingface_hub` needs for downloads and commits, over HTTP and Git LFS, not Xet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nanogen.files import atomic_path

COMMIT = "0" * 40
WRITER = "hf_writer"  # the token that may write; others may only read
BLOBS = ".lfs"  # folder of uploaded files, named by their SHA-256


class Answering(BaseHTTPRequestHandler):
    """A request handler that sends complete responses and writes no log."""

    def log_message(self, *args: Any) -> None:
        """Log nothing; by default every request is a line."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value: Any, status: int = 200, **headers: str) -> None:
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json", **headers)


class _Hub(Answering):
    """Metadata, tree and files of every repository below the server's folder, and commits to them."""

    server: _Server

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0]).removeprefix("/").removeprefix("api/")
        path = path.removeprefix("models/").removeprefix("datasets/")
        owner, name, what, *rest = [*path.split("/"), "", ""][:3] + path.split("/")[3:]
        place = self.server.folder / owner / name
        if not place.is_dir():
            self.answer(404, b"", X_Error_Code="RepoNotFound")
        elif what in ("revision", "tree"):
            files = sorted(file for file in place.rglob("*") if file.is_file())
            entries = [
                _entry(file, place, "rfilename" if what == "revision" else "path") for file in files
            ]
            content = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": entries}
            self.answer_json(content if what == "revision" else entries)
        elif (file := place.joinpath(*rest[1:])).is_file():
            etag = hashlib.sha256(file.read_bytes()).hexdigest()
            self.answer(200, file.read_bytes(), ETag=f'"{etag}"', X_Repo_Commit=COMMIT)
        else:
            self.answer(404, b"", X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._body()
        given = self.headers.get("Authorization")
        path = self.path.partition("?")[0].strip("/")
        owner, name, what = [*path.removeprefix("api/models/").split("/"), "", ""][:3]
        repository = f"{owner}/{name.removesuffix('.git')}"
        if given != f"Bearer {WRITER}":
            self.answer_json({"error": "no access"}, 403 if given else 401)
        elif path == "api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif path == "api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            (self.server.folder / repository).mkdir(parents=True, exist_ok=True)
            self.answer_json({"url": f"{self.server.address}/{repository}"})
        elif not (place := self.server.folder / repository).is_dir():
            self.answer_json({}, 404, X_Error_Code="RepoNotFound")
        elif what == "preupload":
            self.answer_json({"files": [_mode(file["path"]) for file in json.loads(body)["files"]]})
        elif what == "info":
            self.answer_json({"objects": [self._wanted(one) for one in json.loads(body)["objects"]]})
        elif what == "commit":
            self._commit([json.loads(line) for line in body.splitlines()], place)
            address = f"{self.server.address}/{repository}/commit/{COMMIT}"
            self.answer_json({"commitUrl": address, "commitOid": COMMIT})
        else:
            self.answer_json({}, 404)

    def do_PUT(self) -> None:
        """Receive the content of a large file, at the address that `_wanted` returned."""
        body, blob = self._body(), self._blob(self.path.rpartition("/")[2])
        if hashlib.sha256(body).hexdigest() != blob.name:
            self.answer(400, b"")
            return
        with atomic_path(blob) as temporary:
            temporary.write_bytes(body)
        self.answer(200, b"")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _blob(self, oid: str) -> Path:
        return self.server.folder / BLOBS / oid

    def _wanted(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the upload address of a large file; none if its content is already stored."""
        oid = asked["oid"]
        upload = {"upload": {"href": f"{self.server.address}/{BLOBS}/{oid}"}}
        actions = {} if self._blob(oid).exists() else {"actions": upload}
        return {"oid": oid, "size": asked["size"], **actions}

    def _commit(self, lines: list[dict[str, Any]], place: Path) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self._blob(value["oid"]).read_bytes()
            else:
                continue
            with atomic_path(place / value["path"]) as temporary:
                temporary.write_bytes(content)


class _Server(ThreadingHTTPServer):
    folder: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def _mode(name: str) -> dict[str, Any]:
    mode = "lfs" if name.endswith(".safetensors") else "regular"
    return {"path": name, "uploadMode": mode, "shouldIgnore": False}


def _entry(file: Path, place: Path, key: str) -> dict[str, Any]:
    """The hub's entry for a large file."""
    sha256, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
    lfs = {"sha256": sha256, "oid": sha256, "size": size, "pointerSize": 1}
    name = file.relative_to(place).as_posix()
    return {key: name, "type": "file", "oid": "0" * 40, "blobId": "0" * 40, "size": size, "lfs": lfs}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the repositories in ``folder``; yields the hub's address, for HF_ENDPOINT."""
    server = _Server(("127.0.0.1", 0), _Hub)
    server.folder = folder
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.address
    finally:
        server.shutdown()
        server.server_close()
