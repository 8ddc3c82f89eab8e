"""How the stand-in answers: the proxy's side, and the storage service's two hosts."""

import dataclasses
import http.server
import json
import re
import socket
import time
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime

from bucket import store

API, MEDIA = "www.googleapis.com", "storage.googleapis.com"
TOKEN = "of-the-tests"

_BUCKET = "/storage/v1/b/(?P<bucket>[^/]+)"
_OBJECT = f"{_BUCKET}/o/(?P<name>[^/]+)"
_COPY = f"{_OBJECT}/rewriteTo/b/(?P<to_bucket>[^/]+)/o/(?P<to_name>[^/]+)"
_ROUTES = [
    (API, "GET", _BUCKET, "bucket"),
    (API, "GET", f"{_BUCKET}/o", "list"),
    (API, "GET", _OBJECT, "stat"),
    (API, "DELETE", _OBJECT, "delete"),
    (API, "POST", _COPY, "copy"),
    (API, "POST", f"/upload{_BUCKET}/o", "begin"),
    (API, "PUT", f"/upload{_BUCKET}/o", "put"),
    (MEDIA, "GET", "/(?P<bucket>[^/]+)/(?P<name>.+)", "read"),
]
_Answer = tuple[int, dict[str, str], bytes]


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it came and went.

    `kind` is bucket, list, stat, read, write (of an empty object), begin, put and poll
    (of a resumable upload), copy or delete. `status` is 0 where the connection
    was cut; `fault` says whether that, or the error, was injected.
    """

    seconds: float
    kind: str
    bucket: str
    name: str
    status: int
    fault: bool


class _Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """The server counts its requests; nobody reads a log."""


class Proxy(_Quiet):
    """Takes the client's CONNECT and answers in the host's place."""

    def do_CONNECT(self):
        host = self.path.partition(":")[0]
        if host not in (API, MEDIA):
            self.do_GET()
            return
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with self.server.tls.wrap_socket(self.connection, server_side=True) as tls:
            tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Storage(tls, self.client_address, self.server, host)

    def do_GET(self):
        self.server.strays.append(self.path)
        self.send_error(404)


class _Storage(_Quiet):
    """Answers the requests of one connection to one of the two hosts."""

    def __init__(self, connection, client_address, server, host: str):
        self._host = host
        super().__init__(connection, client_address, server)

    def do_GET(self):
        """Parses a request, injects a fault or answers, and records the request."""
        url = urllib.parse.urlsplit(self.path)
        self._query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        kind, self._names = self._route(url.path)
        fault = self.server.faults.draw()
        time.sleep(self.server.faults.seconds)
        body = self._body(cut=kind == "put" and fault == 0)
        name = self._name(kind)
        try:
            self._admit(fault)
            status, headers, answer = getattr(self, f"_{kind}")(body)
        except store.Refused as refused:
            status, headers, answer = refused.status, {}, self._error(refused)
        # Recorded before it is answered, so that every answered request is recorded.
        self.server.requests.append(
            Request(
                time.monotonic(),
                kind,
                self._names["bucket"],
                name,
                status if fault != 0 else 0,
                fault is not None,
            )
        )
        if fault == 0:
            self._cut(answer)
        else:
            self._send(status, headers, answer)

    do_POST = do_PUT = do_DELETE = do_GET

    def _route(self, path: str) -> tuple[str, dict[str, str]]:
        """The kind of the request, and the names in its path."""
        for host, method, pattern, kind in _ROUTES:
            found = re.fullmatch(pattern, path)
            if (host, method) == (self._host, self.command) and found:
                quoted = found.groupdict().items()
                names = {key: urllib.parse.unquote(value) for key, value in quoted}
                return self._precisely(kind), names
        raise AssertionError(f"{self.command} {self._host}{path}")

    def _precisely(self, kind: str) -> str:
        """Distinguishes kinds of requests that have the same path."""
        if kind == "begin" and self._query["uploadType"] == "media":
            return "write"
        span = self.headers.get("Content-Range", "")
        if kind == "put" and span.startswith("bytes *"):
            return "poll"
        return kind

    def _name(self, kind: str) -> str:
        """The object asked for; of a list, the prefix."""
        if kind in ("put", "poll"):
            return self.server.store.upload(self._query["upload_id"]).name
        if kind == "list":
            return self._query.get("prefix", "")
        return self._names.get("name") or self._query.get("name", "")

    def _admit(self, fault: int | None) -> None:
        if fault:
            raise store.Refused(fault, "injected by the test")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise store.Refused(401, "Invalid Credentials")
        if self._names["bucket"] in self.server.denied:
            raise store.Refused(403, "The caller does not have access to the bucket.")

    def _body(self, *, cut: bool) -> bytes:
        """What was sent; of an upload to be cut, the first half."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
            return body[: len(body) // 2] if cut else body
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(length // 2 if cut else length)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, status: int, headers: dict[str, str], answer: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _cut(self, answer: bytes) -> None:
        """Ends the connection within a body, or before the answer to anything else."""
        if self._host == MEDIA:
            self.send_response(206)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2])
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _error(self, refused: store.Refused) -> bytes:
        if self._host == MEDIA:
            return f"<Error><Message>{refused.reason}</Message></Error>".encode()
        error = {"code": refused.status, "message": refused.reason}
        return json.dumps({"error": error}, indent=1).encode()  # as the service does

    # A method for each kind, from the body to the answer.

    def _bucket(self, _) -> _Answer:
        self.server.store.objects(self._names["bucket"])
        return _json({"name": self._names["bucket"], "location": "US-CENTRAL1"})

    def _list(self, _) -> _Answer:
        names, prefixes, following = self.server.store.listing(
            self._names["bucket"],
            prefix=self._query.get("prefix", ""),
            delimiter=self._query.get("delimiter", ""),
            after=self._query.get("pageToken", ""),
            limit=int(self._query.get("maxResults", store.PAGE)),
        )
        answer = {"items": [{"name": name} for name in names], "prefixes": prefixes}
        # The service leaves out what is empty.
        full = answer | {"nextPageToken": following}
        return _json({key: value for key, value in full.items() if value})

    def _stat(self, _) -> _Answer:
        found = self.server.store.get(self._names["bucket"], self._names["name"])
        fields = self._query.get("fields")
        full = _resource(found)
        return _json({k: full[k] for k in fields.split(",")} if fields else full)

    def _read(self, _) -> _Answer:
        data = self.server.store.get(self._names["bucket"], self._names["name"]).data
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        first, last = map(int, asked.groups())
        if first >= len(data):
            raise store.Refused(416, "The requested range cannot be satisfied.")
        part = data[first : last + 1]
        told = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        return 206, {"Content-Range": told}, part

    def _write(self, body: bytes) -> _Answer:
        new = self.server.store.put(
            self._names["bucket"],
            self._query["name"],
            body,
            if_generation=self._generation(),
        )
        return _json(_resource(new))

    def _begin(self, _) -> _Answer:
        bucket, name = self._names["bucket"], self._query["name"]
        key = self.server.store.begin(bucket, name, self._generation())
        path = f"https://{API}/upload/storage/v1/b/{bucket}/o"
        return 200, {"Location": f"{path}?uploadType=resumable&upload_id={key}"}, b""

    def _put(self, body: bytes) -> _Answer:
        told = self.headers.get("Content-Range", f"bytes 0-/{len(body)}")
        first, total = re.fullmatch(r"bytes (\d+)-\d*/(\d+)", told).groups()
        key = self._query["upload_id"]
        return _progress(self.server.store.receive(key, int(first), body, int(total)))

    def _poll(self, _) -> _Answer:
        return _progress(self.server.store.upload(self._query["upload_id"]))

    def _copy(self, _) -> _Answer:
        source = self._names["bucket"], self._names["name"]
        target = self._names["to_bucket"], self._names["to_name"]
        begun = int(self._query.get("rewriteToken", 0))
        copied, size, new = self.server.store.rewrite(source, target, begun)
        answer = {
            "totalBytesRewritten": str(copied),
            "objectSize": str(size),
            "done": new is not None,
        }
        if new is None:
            return _json(answer | {"rewriteToken": str(copied)})
        return _json(answer | {"resource": _resource(new)})

    def _delete(self, _) -> _Answer:
        self.server.store.delete(self._names["bucket"], self._names["name"])
        return 204, {}, b""

    def _generation(self) -> int | None:
        wanted = self._query.get("ifGenerationMatch")
        return None if wanted is None else int(wanted)


def _json(answer: dict) -> _Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _resource(found: store.Object) -> dict[str, str]:
    return {
        "name": found.name,
        "size": str(len(found.data)),
        "generation": str(found.generation),
        "updated": datetime.fromtimestamp(found.updated, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
    }


def _progress(upload: store.Upload) -> _Answer:
    """200 for an upload that is whole, else 308 and what has arrived."""
    if upload.done:
        return 200, {}, b"{}"
    received = len(upload.received)
    return 308, {"Range": f"bytes=0-{received - 1}"} if received else {}, b""
