"""s3fs as the project needs it: uploads in one request, and names of many files asked for side by side."""

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

    async def _pipe_file(self, path: str, data: bytes, mode: str = "overwrite", **_: Any) -> None:
        """All or nothing, of up to 5 GiB.

        s3fs would send 100 MiB and more in pieces, and when the answer to the last is lost the upload may be
        unknown by then: the retry fails though all is committed.
        """
        await super()._pipe_file(path, data, chunksize=_MOST_BYTES_OF_A_REQUEST, mode=mode)

    async def _names(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        """Names of the files directly in a folder; what lies between two `cuts` is asked for side by side."""
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
        """Names above `after` and up to `last`; None: without a bound.

        _OutOfOrderError where bounds have no meaning: S3 Express lists in no order, and other stores may too.
        """
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
        if after is not None:
            asked["StartAfter"] = prefix + after
        names: list[str] = []
        while True:
            page = await self._call_s3("list_objects_v2", **asked)
            names += [entry["Key"].removeprefix(prefix) for entry in page.get("Contents", ())]
            beyond = last is not None and bool(names) and names[-1] >= last
            if beyond or not page.get("IsTruncated"):
                break
            asked["ContinuationToken"] = page["NextContinuationToken"]
        bounded = after is not None or last is not None
        if bounded and any(name >= following for name, following in pairwise((after or "", *names))):
            raise _OutOfOrderError
        return [name for name in names if name and (last is None or name <= last)]


class _OutOfOrderError(Exception):
    pass


def _date(text: Any) -> datetime:
    """As botocore reads it, which spends most of a long list's time on its dates."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        date: datetime = parse_timestamp(text)
        return date
