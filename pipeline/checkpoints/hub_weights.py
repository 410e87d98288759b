"""Weights of a commit of the Hugging Face hub, read by ranges: nothing comes into the hub's cache."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.checkpoints.streamed import StreamedFile
from pipeline.errors import job_error
from pipeline.storage.retries import with_retries

_SILENCE_S = 60.0  # after which a request is repeated
_PARTIAL, _OF_LIMITS = 206, 429  # HTTP


@dataclass(frozen=True)
class HubWeights:
    """StreamedWeights; a commit never changes."""

    url: str  # as messages call it
    repository: str
    commit: str
    endpoint: str | None
    names: Collection[str]

    def open(self, name: str) -> StreamedFile:
        """JobError if the hub does not give it."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(self.repository, name, revision=self.commit, endpoint=self.endpoint)
        where = f"{self.url}/{name}"
        try:
            found = with_retries(partial(get_hf_file_metadata, url), where)
        except OSError as error:
            raise job_error(error, "model.path") from None
        return StreamedFile(where, found.size or 0, partial(_fetch, url))

    def require_unchanged(self) -> None:
        pass


def _fetch(url: str, buffer: memoryview, start: int) -> int:
    """Behind the hub's redirect, into the buffer as it comes. It waits where the hub says how long."""
    import huggingface_hub.utils

    hub: Any = huggingface_hub.utils  # whose names are exported in a way that mypy does not see
    headers = hub.build_hf_headers() | {
        "Range": f"bytes={start}-{start + len(buffer) - 1}",
        "Accept-Encoding": "identity",
    }
    request = hub.http_stream_backoff(
        "GET",
        url,
        headers=headers,
        timeout=_SILENCE_S,
        retry_on_exceptions=(),
        retry_on_status_codes=_OF_LIMITS,
    )
    came = 0
    with request as response:
        hub.hf_raise_for_status(response)
        if response.status_code != _PARTIAL:
            return len(buffer) + 1
        for data in response.iter_raw():
            if came + len(data) <= len(buffer):
                buffer[came : came + len(data)] = data
            came += len(data)
    return came
