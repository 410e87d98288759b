"""gcsfs as the project needs it: plain uploads, names asked for side by side, an end to silence, and refusals
that are told apart."""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from aiohttp import ClientTimeout
from fsspec.asyn import sync_wrapper
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError

from pipeline.storage.name_ranges import in_ranges

SILENCE_SECONDS = 60.0  # as botocore has it; gcsfs would wait for ever
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what it logs are the server's words


class GoogleFileSystem(GCSFileSystem):  # type: ignore[misc]
    """Not the class that gcsfs registers: in a zonal bucket that one overwrites what it was told to create.

    It also asks Google's control plane for the kind of every bucket, which takes a right of its own.
    """

    def __init__(self, **options: Any) -> None:
        silence = ClientTimeout(total=None, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
        super().__init__(requests_timeout=silence, **options)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """The data alone in one request, all or nothing, of any size.

        gcsfs would send it in pieces, which are lost with the answer to the last, or between boundaries that
        it does not look for in the data.
        """
        bucket, key, _generation = self.split_path(path)
        only_if_absent = {"ifGenerationMatch": "0"} if mode == "create" else {}
        await self._call(
            "POST",
            f"{self._location}/upload/storage/v1/b/{quote(bucket)}/o",
            uploadType="media",
            name=key,
            headers={"Content-Type": "application/octet-stream"},
            data=value,
            **only_if_absent,
        )

    async def _names(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        """Names of the files directly in a folder; what lies between two `cuts` is asked for side by side."""
        bucket, key, _generation = self.split_path(folder)
        prefix = f"{key}/"

        async def between(first: str | None, end: str | None) -> list[str]:
            asked = {"prefix": prefix, "delimiter": "/", "fields": "items/name,nextPageToken"}
            offsets = {"startOffset": first, "endOffset": end}  # the first is in the range, the end is not
            asked |= {offset: prefix + name for offset, name in offsets.items() if name is not None}
            names: list[str] = []
            while True:
                page = await self._call("GET", "b/{}/o", bucket, json_out=True, **asked)
                names += [item["name"].removeprefix(prefix) for item in page.get("items", ())]
                if not page.get("nextPageToken"):
                    return [name for name in names if name]
                asked["pageToken"] = page["nextPageToken"]

        return await in_ranges(between, cuts)

    names = sync_wrapper(_names)

    async def _request(self, *request: Any, **options: Any) -> Any:
        with _refusals_told_apart():
            return await super()._request(*request, **options)

    async def _get_file_request(self, *request: Any, **options: Any) -> Any:
        with _refusals_told_apart():
            return await super()._get_file_request(*request, **options)


class Refused(PermissionError):
    """The server says 401 (who are you?) or 403 (you may not)."""

    def __init__(self, status: int) -> None:
        super().__init__(errno.EACCES, f"HTTP {status}")
        self.code = status


@contextmanager
def _refusals_told_apart() -> Iterator[None]:
    """As other filesystems raise them; gcsfs puts the server's words in place of a status."""
    try:
        yield
    except HttpError as error:
        if str(error.code) != "401":
            raise
        raise Refused(401) from None
    except OSError as error:
        if not str(error).startswith("Forbidden: "):
            raise
        raise Refused(403) from None
    except ValueError as error:
        if not str(error).startswith("Bad Request: "):
            raise
        raise HttpError({"code": 400}) from None
