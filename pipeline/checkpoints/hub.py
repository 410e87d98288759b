"""A checkpoint in the Hugging Face hub, fetched by huggingface_hub into its own cache ($HF_HOME).

So what other programs have fetched is not fetched again. With HF_HUB_OFFLINE=1 the cache alone is read. A
token for gated and private repositories comes from HF_TOKEN, or from `hf auth login`.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.checkpoints.hub_weights import HubWeights
from pipeline.checkpoints.located import JUDGING_FILES, Located
from pipeline.errors import ConfigError, JobError
from pipeline.storage.failures import describe, is_of_this_machine
from pipeline.storage.urls import what_to_install

_URL = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+?)/?(@(?P<revision>\S+))?")


def locate_in_hub(url: str) -> Located:
    """The checkpoint at hf://org/name, or hf://org/name@revision: a branch, a tag or a commit.

    Raises:
        ConfigError: there is no such repository or revision, it is gated, or huggingface_hub is missing.
        JobError: the hub can't be reached.
    """
    matched = _URL.fullmatch(url)
    if not matched:
        raise ConfigError(f"model.path: {url}: write it as hf://org/name or hf://org/name@revision")
    repository, revision = matched["repository"], matched["revision"]
    try:
        import huggingface_hub  # an extra, and it takes a while
    except ImportError as error:
        raise ConfigError(f"model.path: {url}: {what_to_install('hf', error)}") from None

    endpoint = os.environ.get("HF_ENDPOINT")  # huggingface_hub itself reads it when it is first imported

    def snapshot(patterns: Sequence[str], revision: str | None) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision, allow_patterns=[*patterns], endpoint=endpoint
            )
        )

    def names_at(commit: str) -> list[str]:
        if huggingface_hub.is_offline_mode():
            return [entry.name for entry in folder.iterdir()]
        info = huggingface_hub.HfApi(endpoint).model_info(repository, revision=commit)
        return [file.rfilename for file in info.siblings or [] if "/" not in file.rfilename]

    with _telling(url):
        folder = snapshot(JUDGING_FILES, revision)
        commit = folder.name
        names = names_at(commit)

    def fetch(weights: Sequence[str]) -> Path:
        with _telling(url):
            return snapshot([*JUDGING_FILES, *weights], commit)

    def stream(weights: Sequence[str]) -> HubWeights:
        return HubWeights(url, repository, commit, endpoint, names)

    offline = huggingface_hub.is_offline_mode()
    return Located(url, f"hf://{repository}@{commit}", folder, names, fetch, None if offline else stream)


@contextmanager
def _telling(url: str) -> Iterator[None]:
    """The errors of huggingface_hub become sentences that name the URL, and never a token or a header."""
    try:
        yield
    except Exception as error:
        raise _sentence(url, error) from None


def _sentence(url: str, error: Exception) -> JobError:
    import huggingface_hub.constants
    from huggingface_hub import errors

    if isinstance(error, OSError) and (is_of_this_machine(error) or isinstance(error, PermissionError)):
        folder = error.filename or huggingface_hub.constants.HF_HUB_CACHE
        what = f"the hub's cache, to be set by HF_HOME: {error.strerror}: {folder}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return JobError(f"model.path: {url}: {what}; or set model.fetch to stream, which needs no disk")
        return ConfigError(f"model.path: {url}: {what}")
    token = "in HF_TOKEN, or by `hf auth login`"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.GatedRepoError):
        what = f"it is gated: accept its terms on its page, and give a token of that account {token}"
    elif isinstance(error, errors.RepositoryNotFoundError):
        what = f"there is no such repository, or it is private: check the name, or give a token {token}"
    elif isinstance(error, errors.RevisionNotFoundError):
        what = "the repository has no such revision"
    elif status in (401, 403):
        what = f"the hub does not accept the token (HTTP {status}): give another {token}"
    else:
        return JobError(
            f"model.path: {url}: cannot be fetched ({describe(error)}): run it again when the hub can be "
            "reached; with HF_HUB_OFFLINE=1 what is in its cache is used"
        )
    return ConfigError(f"model.path: {url}: {what}")
