"""gcsfs as the project needs it: one plain API, an end to silence, and refusals that are told apart."""

import errno
import logging
from typing import Any

from aiohttp import ClientTimeout
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError

SILENCE_SECONDS = 60.0  # as botocore has it; gcsfs would wait for ever
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what it logs are the server's words


class GoogleFileSystem(GCSFileSystem):  # type: ignore[misc]
    """Not the class that gcsfs registers: in a zonal bucket that one overwrites what it was told to create.

    It also asks Google's control plane for the kind of every bucket, which takes a right of its own.
    """

    def __init__(self, **options: Any) -> None:
        silence = ClientTimeout(total=None, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
        super().__init__(requests_timeout=silence, **options)

    async def _request(self, *request: Any, **options: Any) -> Any:
        """A refusal as other filesystems raise it; gcsfs puts the server's words in place of a status."""
        try:
            return await super()._request(*request, **options)
        except HttpError as error:
            if str(error.code) != "401":
                raise
            raise PermissionError(errno.EACCES, "HTTP 401") from None
        except OSError as error:
            if not str(error).startswith("Forbidden: "):
                raise
            raise PermissionError(errno.EACCES, "HTTP 403") from None
        except ValueError as error:
            if not str(error).startswith("Bad Request: "):
                raise
            raise HttpError({"code": 400}) from None
