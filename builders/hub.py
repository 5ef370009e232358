"""Upload an exported copy to a dataset repository on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atariari_data.errors import DataError, UsageError
from builders.card import is_ours

SCHEME = "hf://datasets/"
_CARD = "README.md"


def repository(target: str) -> str:
    """Return ORG/NAME of ``hf://datasets/ORG/NAME``.

    Raises:
        UsageError: It is not of that form.
    """
    match = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)/?", target)
    if match is None:
        raise UsageError("This is no place on the Hub.", expected=f"{SCHEME}ORG/NAME", got=target)
    return match[1]


def staging(repo_id: str) -> Path:
    """Return the folder, in the cache of `datasets`, where a copy waits for its upload."""
    import datasets

    return Path(datasets.config.HF_DATASETS_CACHE) / "atariari_export" / repo_id.replace("/", "--")


def check_access(repo_id: str, api: Any = None) -> None:
    """Find out, before anything is built, whether there is a token and a repository.

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
        raise UsageError(
            "There is no token for the Hugging Face Hub.", cure="hf auth login, or set HF_TOKEN."
        )
    with _explained(repo_id):
        api.repo_info(repo_id, repo_type="dataset")


def upload(folder: Path, repo_id: str, api: Any = None) -> str:
    """Upload an exported copy in one commit; the Hub keeps the bytes that it has already.

    Args:
        folder: Of the copy.
        repo_id: ``ORG/NAME`` of a dataset repository.
        api: A ``huggingface_hub.HfApi``, by default a new one.

    Returns:
        Address of the repository.

    Raises:
        UsageError: No such repository, or it holds other files under our names.
        DataError: The upload failed.
    """
    from huggingface_hub import HfApi

    api = HfApi() if api is None else api
    ours = {str(f.relative_to(folder)): f for f in sorted(folder.rglob("*")) if f.is_file()}
    with _explained(repo_id):
        there = set(api.list_repo_files(repo_id, repo_type="dataset"))
        more = sorted(name for name in there - set(ours) if name.endswith(".parquet"))
        if more:
            raise UsageError(
                f"{repo_id} holds configs that are not in this export, and the card would lose them.",
                got=", ".join(more),
                cure="Export those configs here, too, or upload to another repository.",
            )
        for remote in api.get_paths_info(repo_id, sorted(there & set(ours)), repo_type="dataset"):
            if _same(ours[remote.path], remote):
                continue
            if remote.path == _CARD:
                old = Path(api.hf_hub_download(repo_id, _CARD, repo_type="dataset")).read_bytes()
                if is_ours(old) or _is_empty(old):
                    continue
            raise UsageError(
                f"{repo_id} holds another {remote.path}; nothing is overwritten.",
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
    """Tell whether a card is what the Hub puts into a new repository: YAML and nothing below."""
    return card.strip() == b"" or re.fullmatch(rb"---\n.*?\n---\s*", card, re.DOTALL) is not None


def _same(file: Path, remote: Any) -> bool:
    """Compare a file with the Hub's: by SHA-256 where it is large, by git's SHA-1 where small."""
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
            f"There is no dataset {repo_id} on the Hub, or your token does not see it.",
            cure=f"hf repos create {repo_id} --repo-type dataset, and a token that may write to it.",
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError(
            "There is no token for the Hugging Face Hub.", cure="hf auth login, or set HF_TOKEN."
        ) from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        raise DataError(
            f"The Hub did not take {repo_id}: {error}",
            cure="Run it again: what is finished is kept.",
        ) from error
