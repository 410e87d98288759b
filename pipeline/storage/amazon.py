"""s3fs with changes that the project needs: uploads in one request, and long lists requested in parallel."""

import errno
import os
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from aiobotocore.session import AioSession
from botocore.utils import parse_timestamp
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from pipeline.storage.name_ranges import in_ranges

_MOST_BYTES_OF_A_REQUEST = 5 * 2**30


class AmazonFileSystem(S3FileSystem):  # type: ignore[misc]
    def __init__(self, **options: Any) -> None:
        session = AioSession(profile=options.get("profile"))
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_date)
        super().__init__(session=session, **options)

    async def _call_s3(self, method: str, *options: Any, **more: Any) -> Any:
        try:
            return await super()._call_s3(method, *options, **more)
        except RecursionError:  # botocore asks for the bucket's region, and is told again that it is another
            raise OSError(errno.EREMCHG, os.strerror(errno.EREMCHG)) from None

    async def _pipe_file(self, path: str, data: bytes, mode: str = "overwrite", **_: Any) -> None:
        """One request for up to 5 GiB: it takes effect as a whole or not at all.

        s3fs would use a multipart upload from 100 MiB on. If the answer to its last request is lost, the
        retry can fail with "no such upload" although the file was created.
        """
        await super()._pipe_file(path, data, chunksize=_MOST_BYTES_OF_A_REQUEST, mode=mode)

    async def _names(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        """Names of the files directly in a folder; the ranges between `cuts` are requested in parallel."""
        bucket, key, _ = self.split_path(folder)

        async def between(after: str | None, last: str | None) -> list[str]:
            return await self._names_between(bucket, f"{key}/", after, last)

        try:
            return await in_ranges(between, cuts)
        except _OutOfOrderError:
            return await between(None, None)

    names = sync_wrapper(_names)

    async def _names_between(
        self, bucket: str, prefix: str, after: str | None, last: str | None
    ) -> list[str]:
        """Names above `after` and up to `last`; None: no bound.

        _OutOfOrderError if the store does not list in order, as S3 Express: then bounds mean nothing.
        """
        query = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
        if after is not None:
            query["StartAfter"] = prefix + after
        names: list[str] = []
        while True:
            page = await self._call_s3("list_objects_v2", **query)
            names += [entry["Key"].removeprefix(prefix) for entry in page.get("Contents", ())]
            beyond = last is not None and bool(names) and names[-1] >= last
            if beyond or not page.get("IsTruncated"):
                break
            query["ContinuationToken"] = page["NextContinuationToken"]
        bounded = after is not None or last is not None
        if bounded and any(name >= following for name, following in pairwise((after or "", *names))):
            raise _OutOfOrderError
        return [name for name in names if name and (last is None or name <= last)]


class _OutOfOrderError(Exception):
    pass


def _date(text: Any) -> datetime:
    """The date that botocore would parse, faster: dates take botocore most of the time of a long list."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        date: datetime = parse_timestamp(text)
        return date
