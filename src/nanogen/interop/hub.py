"""Downloads from the Hugging Face Hub: pinned, resumable, complete or absent, and never a pickle.

Files are downloaded to a hidden folder next to the destination. An interrupted download stays there and
is resumed. The folder is renamed when every file has arrived.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from nanogen.errors import UserError, nearest
from nanogen.files import explained, remove_folder
from nanogen.remote_file import offline

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Repository:
    """A repository on the hub; ``kind`` is ``model`` or ``dataset``.

    ``instead`` ends the sentence of an error: what the user can do without this download.
    """

    name: str
    revision: str = "main"
    kind: str = "model"
    instead: str = "give the path of a copy instead"

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"


@contextmanager
def _explained(repository: Repository) -> Iterator[None]:
    """Turn the errors of the hub library into a UserError that says what to do."""
    from huggingface_hub import errors

    access = (
        f"accept its licence at {repository.page}, set HF_TOKEN to a token of that account, "
        f"or {repository.instead}"
    )
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(f"{repository.name} is gated: {access}") from error
    except errors.RepositoryNotFoundError as error:
        if _wrong_token(error):
            raise UserError(_about_token(repository)) from error
        raise UserError(
            f"{repository.name} is not on the hub, or private (check the name; where it is private, "
            f"set HF_TOKEN), or {repository.instead}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{repository.name} has no revision {repository.revision!r}; see {repository.page}/commits"
        ) from error
    except errors.HFValidationError as error:
        raise UserError(
            f"{repository.name!r} is not the name of a repository ({error}); write owner/name"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if _wrong_token(error):
            raise UserError(_about_token(repository)) from error
        if status in (401, 403):
            raise UserError(f"the hub refuses access to {repository.name}: {access}") from error
        raise UserError(
            f"the hub answered {status} for {repository.name}; try again later (downloaded files are "
            f"kept), or {repository.instead}"
        ) from error
    except (errors.HTTPError, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise UserError(
            f"cannot reach the hub for {repository.name} ({type(error).__name__}); check the network "
            f"and start again (downloaded files are kept), or {repository.instead}"
        ) from error


def _wrong_token(error: Exception) -> bool:
    """Whether the hub rejected HF_TOKEN itself (401); 403 means that a valid token has no access."""
    response = getattr(error, "response", None)
    return bool(os.environ.get("HF_TOKEN")) and response is not None and response.status_code == 401


def _about_token(repository: Repository) -> str:
    return (
        f"the hub does not accept the token in HF_TOKEN for {repository.name}: it is wrong or has "
        f"expired; set a valid one, unset it if the repository is open, or {repository.instead}"
    )


def _refuse_offline(repository: Repository, output: Path) -> None:
    if offline():
        raise UserError(
            f"{output} is missing and needs a download of {repository.name}, but HF_HUB_OFFLINE "
            f"is set: unset it, or {repository.instead}"
        )


def _partial(output: Path) -> Path:
    return output.with_name(f".{output.name}.partial")


@dataclass(frozen=True)
class RemoteContent:
    """The hub's record of a file: its size, and a checksum of its content.

    Attributes:
        size: in bytes; None if the hub does not know it.
        sha256: checksum of a file in Git LFS, None for other files.
        blob: Git's blob hash (SHA-1 of a header and the content) of any other file.
    """

    size: int | None
    sha256: str | None
    blob: str | None

    @classmethod
    def of(cls, sibling: Any) -> RemoteContent:
        lfs = sibling.lfs
        return cls(sibling.size, lfs.sha256 if lfs else None, None if lfs else sibling.blob_id)

    def fits(self, file: Path) -> bool:
        """Whether ``file`` exists with this size and content."""
        if not file.is_file() or (self.size is not None and file.stat().st_size != self.size):
            return False
        with open(file, "rb") as content:
            if self.sha256:
                return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256
            if self.blob:
                sha1 = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
                return hashlib.file_digest(content, lambda: sha1).hexdigest() == self.blob
        return True


def _check_complete(repository: Repository, folder: Path, contents: Mapping[str, RemoteContent]) -> None:
    """Make sure that ``folder`` holds exactly the files ``contents``, with the hub's content.

    Files of another revision are removed. A missing or different file is a UserError; it is removed, so
    that the next start downloads it again. The check is needed because snapshot_download accepts
    whatever exists when the network fails, and does not compare content.
    """
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub library's own notes
    for file in [f for f in folder.rglob("*") if f.is_file()]:
        if file.relative_to(folder).as_posix() not in contents:
            file.unlink()
    for name, content in contents.items():
        if not content.fits(folder / name):
            (folder / name).unlink(missing_ok=True)
            raise UserError(
                f"{repository.name}: {name} is incomplete or differs from the file on the hub; start "
                "again (complete files are kept)"
            )


def present(file: str, names: Sequence[str], where: str) -> str:
    """Return ``file`` if it is among ``names``; otherwise raise a UserError that suggests one."""
    if file not in names:
        raise UserError(f"{where} has no file {file}{nearest(file, names)}")
    return file


def download(
    repository: Repository,
    output: Path,
    wanted: Callable[[Sequence[str]], list[str]],
    finish: Callable[[Path, str], None],
    further: Callable[[Path, list[str]], list[str]] | None = None,
) -> None:
    """Download files of a repository into the folder ``output``, which is complete or absent.

    The token is the environment variable HF_TOKEN, or none; HF_ENDPOINT names another hub.

    Args:
        repository: what to download from.
        output: the folder to write; an existing one is replaced.
        wanted: selects files from the names of all files in the repository.
        finish: (folder, commit); completes the folder before it is renamed.
        further: (folder, names of all files); selects more files once the first ones have arrived.

    Raises:
        UserError: access, network or disk fail, or the repository does not exist.
    """
    _refuse_offline(repository, output)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    token = os.environ.get("HF_TOKEN") or False
    partial = _partial(output)
    with explained(output), _explained(repository):
        info = HfApi(endpoint=endpoint, token=token).repo_info(
            repository.name, revision=repository.revision, repo_type=repository.kind, files_metadata=True
        )
        commit = str(info.sha)
        contents = {
            one.rfilename: RemoteContent.of(one) for one in getattr(info, "siblings", None) or []
        }

        def fetch(names: list[str]) -> list[str]:
            size = sum(contents[name].size or 0 for name in names) / 1e6
            log.info("%s at %s: %d files, %.0f MB", repository.name, commit[:12], len(names), size)
            snapshot_download(
                repository.name,
                repo_type=repository.kind,
                revision=commit,
                local_dir=partial,
                allow_patterns=[escape(name) for name in names],
                token=token,
                endpoint=endpoint,
            )
            return names

        names = fetch(wanted(sorted(contents)))
        if further and (others := further(partial, sorted(contents))):
            names += fetch(others)
        _check_complete(repository, partial, {name: contents[name] for name in names})
        finish(partial, commit)
        remove_folder(output)
        partial.replace(output)
