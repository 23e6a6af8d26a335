"""A store of objects on this machine, as S3 answers: enough for Polars to list and to read."""

import contextlib
import http.server
import re
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape


@contextlib.contextmanager
def served(root: Path, monkeypatch) -> Iterator[str]:
    """Serves the buckets below a directory; yields where, and tells Polars by the environment."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.answer()

        def answer(self):
            url = urllib.parse.urlsplit(self.path)
            place = root / urllib.parse.unquote(url.path).lstrip("/")
            query = dict(urllib.parse.parse_qsl(url.query))
            if "list-type" in query:
                self.tell(200, _listed(place, query.get("prefix", "")))
            elif not place.is_file():
                self.tell(404, b"<Error><Code>NoSuchKey</Code></Error>")
            elif asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
                data = place.read_bytes()
                first, last = asked.groups()
                begin = int(first) if first else max(len(data) - int(last), 0)
                end = min(int(last), len(data) - 1) if first and last else len(data) - 1
                where = f"bytes {begin}-{end}/{len(data)}"
                self.tell(206, data[begin : end + 1], {"Content-Range": where})
            else:
                self.tell(200, place.read_bytes())

        def tell(self, code: int, data: bytes, more: dict[str, str] = {}):  # noqa: B006
            self.send_response(code)
            told = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": '"1"', **more}
            for name, value in {**told, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = f"http://127.0.0.1:{server.server_port}"
    said = {
        "AWS_ENDPOINT_URL": where,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    try:
        yield where
    finally:
        server.shutdown()
        server.server_close()


def _listed(bucket: Path, prefix: str) -> bytes:
    names = sorted(str(p.relative_to(bucket)) for p in bucket.rglob("*") if p.is_file())
    rows = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>1</ETag><Size>{(bucket / name).stat().st_size}</Size></Contents>"
        for name in names
        if name.startswith(prefix)
    )
    told = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    return told.encode()
