"""gcsfs with changes that the project needs.

Uploads are one plain request, long lists are requested in parallel, a server that falls silent is a timeout,
and a refused request has an exception that tells 401, 403 and 400 apart.
"""

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

SILENCE_SECONDS = 60.0  # botocore's default; gcsfs would wait for ever
# its messages quote the server, which may quote credentials
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


class GoogleFileSystem(GCSFileSystem):  # type: ignore[misc]
    """A subclass of the plain class, not of the one that gcsfs registers for gs://.

    The registered class overwrites in a zonal bucket although mode="create" was given. It also asks Google's
    control plane for the kind of every bucket, which needs a permission of its own.
    """

    def __init__(self, **options: Any) -> None:
        silence = ClientTimeout(total=None, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
        super().__init__(requests_timeout=silence, **options)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """One request of any size with the data alone: it takes effect as a whole or not at all.

        gcsfs would send it in pieces, whose upload is lost if the answer to the last one is, or in a
        multipart body whose boundary it does not look for in the data.
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
        """Names of the files directly in a folder; the ranges between `cuts` are requested in parallel."""
        bucket, key, _generation = self.split_path(folder)
        prefix = f"{key}/"

        async def between(first: str | None, end: str | None) -> list[str]:
            query = {"prefix": prefix, "delimiter": "/", "fields": "items/name,nextPageToken"}
            offsets = {"startOffset": first, "endOffset": end}  # startOffset is inclusive, endOffset is not
            query |= {offset: prefix + name for offset, name in offsets.items() if name is not None}
            names: list[str] = []
            while True:
                page = await self._call("GET", "b/{}/o", bucket, json_out=True, **query)
                names += [item["name"].removeprefix(prefix) for item in page.get("items", ())]
                if not page.get("nextPageToken"):
                    return [name for name in names if name]
                query["pageToken"] = page["nextPageToken"]

        return await in_ranges(between, cuts)

    names = sync_wrapper(_names)

    async def _request(self, *request: Any, **options: Any) -> Any:
        with _refusal_by_status():
            return await super()._request(*request, **options)

    async def _get_file_request(self, *request: Any, **options: Any) -> Any:
        with _refusal_by_status():
            return await super()._get_file_request(*request, **options)


class Refused(PermissionError):
    """The server answered 401 (not authenticated) or 403 (not permitted)."""

    def __init__(self, status: int) -> None:
        super().__init__(errno.EACCES, f"HTTP {status}")
        self.code = status


@contextmanager
def _refusal_by_status() -> Iterator[None]:
    """Raise an exception with the HTTP status where gcsfs raises one with the server's message alone.

    gcsfs tells a 403 and a 400 only by how the message begins.
    """
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
