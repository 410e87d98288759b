"""python -m tests.many_shards.s3_server FOLDER SECONDS

As much of S3 as a job needs to resume, over a folder whose subfolders are the buckets: objects are read and
created, and listed by the thousand. It waits before each answer, as one that is far away. Prints its URL.

moto, which tests of stores use, sorts all keys anew for each page: that would be what is measured.
"""

import hashlib
import sys
import time
from bisect import bisect_right
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

_OF_A_PAGE = 1000
_CONTENTS = (
    "<Contents><Key>{}</Key><LastModified>2026-11-28T00:00:00.000Z</LastModified>"
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
    "<ChecksumType>FULL_OBJECT</ChecksumType><Size>4020</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


class S3Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.seconds = seconds  # before each answer
        self._names: dict[str, list[str]] = defaultdict(list)
        for path in folder.rglob("*"):  # once: what is measured ends where something is committed
            if path.is_file():
                self._names[path.parent.relative_to(folder).as_posix()].append(path.name)
        for names in self._names.values():
            names.sort()

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Of the files directly in a folder, in order."""
        return [prefix + name for name in self._names.get(f"{bucket}/{prefix}".rstrip("/"), ())]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: S3Server

    def do_GET(self) -> None:
        time.sleep(self.server.seconds)
        url = urlsplit(self.path)
        asked = dict(parse_qsl(url.query))
        path = self.server.folder / unquote(url.path).lstrip("/")
        if "list-type" in asked:
            self._answer(200, self._page(path.name, asked).encode())
        elif path.is_file():
            self._answer(200, path.read_bytes())
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        time.sleep(self.server.seconds)
        data = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb" if self.headers["If-None-Match"] == "*" else "wb") as file:
                file.write(data)
        except FileExistsError:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self._answer(200, b"")

    def _page(self, bucket: str, asked: dict[str, str]) -> str:
        keys = self.server.keys(bucket, asked["prefix"])
        after = asked.get("continuation-token") or asked.get("start-after") or ""
        first = bisect_right(keys, after)
        page = keys[first : first + _OF_A_PAGE]
        more = first + len(page) < len(keys)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        entries = "".join(map(_CONTENTS.format, map(escape, page)))
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        )

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response_only(status)
        self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *what: object) -> None:
        pass


if __name__ == "__main__":
    with S3Server(Path(sys.argv[1]), float(sys.argv[2])) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
