"""Upload to the Hugging Face Hub: all files of a model in one commit, or none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nanogen.errors import UserError
from nanogen.remote_file import offline

TOKENS = "https://huggingface.co/settings/tokens"


def upload(repository: str, files: Mapping[str, Path | bytes], message: str, create: bool) -> str:
    """Commit ``files`` (name in the repository -> file or content) to a model's repository.

    Other files in the repository are kept. The token is the environment variable HF_TOKEN; HF_ENDPOINT
    names another hub.

    Args:
        repository: ``owner/name``.
        create: create a missing repository, as a private one.

    Returns the commit's URL. Raises UserError if the token is missing or may not write, if the
    repository is missing, or if the hub or the network fails.
    """
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise UserError(f"HF_TOKEN is not set; set it to a token that may write, from {TOKENS}")
    if offline():
        raise UserError("HF_HUB_OFFLINE is set; unset it to upload")
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    with _explained(repository):
        if create:
            api.create_repo(repository, private=True, exist_ok=True)
        return str(api.create_commit(repository, operations, commit_message=message).commit_url)


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Turn the hub's errors into sentences that say what to do."""
    from huggingface_hub import errors

    again = "nothing was committed; start again (files that have arrived are not sent twice)"
    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(f"{repository!r} is not the name of a repository; write OWNER/NAME") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{repository} is not on the hub, or the token in HF_TOKEN does not see it; check the name, "
            "or add --create to make it"
        ) from error
    except errors.HfHubHTTPError as error:
        raise UserError(_refusal(repository, error.response.status_code, again)) from error
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise UserError(
            f"cannot reach the hub for {repository} ({type(error).__name__}); check the network: {again}"
        ) from error
    except ValueError as error:  # in the card's front matter, such as an unknown licence
        said = " ".join(str(error).split())
        raise UserError(f"the hub rejects the files for {repository}: {said}") from error
    except (RuntimeError, OSError) as error:  # of a large file; the cause may contain a signed URL
        raise UserError(f"the upload to {repository} ended early: {again}") from error


def _refusal(repository: str, status: int, again: str) -> str:
    if status == 401:
        return f"the hub does not know the token in HF_TOKEN; set a valid one, from {TOKENS}"
    if status == 403:
        return (
            f"the token in HF_TOKEN may not write to {repository}; set one that may, from {TOKENS}, or "
            "choose a repository of your own"
        )
    return f"the hub answered {status} for {repository}: {again}"
