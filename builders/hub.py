"""Upload an exported copy to a dataset repository on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atariari_data.errors import AtariariError, DataError, UsageError
from builders import card, croissant

SCHEME = "hf://datasets/"
_GENERATED = {"README.md": card.is_ours, croissant.FILE: croissant.is_ours}
"""What every export writes anew, with the functions that know an unedited one."""


def repository(target: str) -> str:
    """Return ORG/NAME of ``hf://datasets/ORG/NAME``.

    Raises:
        UsageError: The address has another form.
    """
    match = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)/?", target)
    if match is None:
        raise UsageError("Not an address of a dataset on the Hub.", expected=f"{SCHEME}ORG/NAME", got=target)
    return match[1]


def staging(repo_id: str) -> Path:
    """Return the folder, in the cache of `datasets`, for a copy to be uploaded."""
    import datasets

    return Path(datasets.config.HF_DATASETS_CACHE) / "atariari_export" / repo_id.replace("/", "--")


def check_access(repo_id: str, api: Any = None) -> None:
    """Check for a token and the repository before anything is built.

    Args:
        repo_id: ``ORG/NAME``.
        api: A ``huggingface_hub.HfApi``, by default a new one.

    Raises:
        UsageError: No token, no such repository.
        DataError: The Hub cannot be reached.
    """
    from huggingface_hub import HfApi, get_token

    api = HfApi() if api is None else api
    if not (api.token or get_token()):
        raise UsageError("No token for the Hugging Face Hub.", cure="hf auth login, or set HF_TOKEN.")
    with _explained(repo_id):
        api.repo_info(repo_id, repo_type="dataset")


def upload(folder: Path, repo_id: str, api: Any = None) -> str:
    """Upload an exported copy in one commit; unchanged files are not sent again.

    Args:
        folder: The copy.
        repo_id: ``ORG/NAME`` of a dataset repository.
        api: A ``huggingface_hub.HfApi``, by default a new one.

    Returns:
        The repository's address.

    Raises:
        UsageError: No such repository, or it has different files with the same names.
        DataError: The upload failed.
    """
    from huggingface_hub import HfApi

    api = HfApi() if api is None else api
    ours = {f.relative_to(folder).as_posix(): f for f in sorted(folder.rglob("*")) if f.is_file()}
    with _explained(repo_id):
        there = set(api.list_repo_files(repo_id, repo_type="dataset"))
        more = sorted(name for name in there - set(ours) if name.endswith(".parquet"))
        if more:
            raise UsageError(
                f"{repo_id} has Parquet files that are not in this export.",
                got=", ".join(more),
                cure="Export their configs as well, in as many files, or upload to another repository.",
            )
        both = sorted(there & set(ours))
        for remote in api.get_paths_info(repo_id, both, repo_type="dataset") if both else ():
            if _same(ours[remote.path], remote):
                continue
            if remote.path in _GENERATED:
                old = Path(api.hf_hub_download(repo_id, remote.path, repo_type="dataset")).read_bytes()
                if _GENERATED[remote.path](old) or _is_empty(old):
                    continue
            raise UsageError(
                f"{repo_id} has a different {remote.path}; nothing is overwritten.",
                cure="Remove it there, or upload to another repository.",
            )
        api.upload_folder(
            repo_id=repo_id,
            folder_path=str(folder),
            repo_type="dataset",
            commit_message="Export of atariari",
            ignore_patterns=[".*", "*/.*"],
        )
    return f"https://huggingface.co/datasets/{repo_id}"


def _is_empty(card: bytes) -> bool:
    """Return whether a card is the Hub's default: a YAML header only."""
    return card.strip() == b"" or re.fullmatch(rb"---\n.*?\n---\s*", card, re.DOTALL) is not None


def _same(file: Path, remote: Any) -> bool:
    """Compare a file with the Hub's: large files by SHA-256, small ones by git's SHA-1."""
    content = file.read_bytes()
    if remote.lfs is not None:
        return bool(hashlib.sha256(content).hexdigest() == remote.lfs.sha256)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return bool(blob.hexdigest() == remote.blob_id)


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"No dataset {repo_id} on the Hub, or your token has no access.",
            cure=f"hf repos create {repo_id} --repo-type dataset, and use a token with write access.",
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError(
            "No token for the Hugging Face Hub.", cure="hf auth login, or set HF_TOKEN."
        ) from error
    except AtariariError:
        raise
    except Exception as error:  # the Hub's own, and those of whatever library it speaks HTTP with
        raise DataError(
            f"The upload to {repo_id} failed: {error}",
            cure="Run it again; finished files are kept.",
        ) from error
