"""The objects and uploads of buckets, in memory: what `bucket.server` serves.

As the Storage JSON API has them: an object appears whole when its upload ends, carries
a generation that no other write has had, and is replaced whole by the next.
"""

import dataclasses
import itertools
import threading
import time

# A client that is cut off goes on at a multiple of this many bytes.
GRANULE = 256 * 1024
PAGE = 1000


class Refused(Exception):
    """An answer that is an error: its status and its reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(status, reason)
        self.status, self.reason = status, reason


@dataclasses.dataclass(frozen=True)
class Object:
    """One object; `updated` is in seconds since 1970."""

    name: str
    data: bytes
    generation: int
    updated: float


@dataclasses.dataclass
class Upload:
    """A resumable upload and what has arrived of it."""

    bucket: str
    name: str
    if_generation: int | None
    received: bytes = b""
    done: bool = False


class Store:
    """Buckets by name; every method is safe to call from several threads.

    Args:
        page: entries of a listing's page, at most.
        granule: of what is kept of an upload that breaks off.
        rewrite_bytes: copied by one rewrite call; None copies all.
    """

    def __init__(
        self,
        *,
        page: int = PAGE,
        granule: int = GRANULE,
        rewrite_bytes: int | None = None,
    ):
        self._page, self._granule = page, granule
        self._rewrite_bytes = rewrite_bytes
        self._buckets: dict[str, dict[str, Object]] = {}
        self._uploads: dict[str, Upload] = {}
        self._generations = itertools.count(int(time.time() * 1e6))
        self._lock = threading.RLock()

    def create(self, bucket: str) -> None:
        self._buckets[bucket] = {}

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        with self._lock:
            return sorted(n for n in self._buckets[bucket] if n.startswith(prefix))

    def objects(self, bucket: str) -> dict[str, Object]:
        with self._lock:
            if bucket not in self._buckets:
                raise Refused(404, "The specified bucket does not exist.")
            return self._buckets[bucket]

    def get(self, bucket: str, name: str) -> Object:
        with self._lock:
            try:
                return self.objects(bucket)[name]
            except KeyError:
                raise Refused(404, f"No such object: {bucket}/{name}") from None

    def put(
        self, bucket: str, name: str, data: bytes, *, if_generation: int | None = None
    ) -> Object:
        """Writes an object.

        Args:
            bucket: its bucket.
            name: its name.
            data: its contents.
            if_generation: the generation to be replaced, 0 for none; None is any.
        """
        with self._lock:
            objects = self.objects(bucket)
            there = objects[name].generation if name in objects else 0
            if if_generation not in (None, there):
                raise Refused(412, "At least one of the pre-conditions did not hold.")
            new = Object(name, data, next(self._generations), time.time())
            objects[name] = new
            return new

    def delete(self, bucket: str, name: str) -> None:
        with self._lock:
            self.get(bucket, name)
            del self._buckets[bucket][name]

    def listing(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = PAGE,
    ) -> tuple[list[str], list[str], str | None]:
        """One page: names, common prefixes, and where the next begins."""
        with self._lock:
            self.objects(bucket)
            entries = {
                _entry(name, prefix, delimiter) for name in self.names(bucket, prefix)
            }
        rest = sorted(entry for entry in entries if entry[0] > after)
        page = rest[: min(limit, self._page)]
        names = [name for name, is_prefix in page if not is_prefix]
        prefixes = [name for name, is_prefix in page if is_prefix]
        return names, prefixes, page[-1][0] if len(page) < len(rest) else None

    def rewrite(self, source: tuple[str, str], target: tuple[str, str], begun: int):
        """Goes on with a copy; returns (bytes copied, all of them, the new object)."""
        with self._lock:
            data = self.get(*source).data
            self.objects(target[0])
            copied = min(len(data), begun + (self._rewrite_bytes or len(data)))
            done = copied == len(data)
            return copied, len(data), self.put(*target, data) if done else None

    def begin(self, bucket: str, name: str, if_generation: int | None) -> str:
        """Opens a resumable upload; returns its id."""
        with self._lock:
            self.objects(bucket)
            key = str(next(self._generations))
            self._uploads[key] = Upload(bucket, name, if_generation)
            return key

    def upload(self, key: str) -> Upload:
        with self._lock:
            if key not in self._uploads:
                raise Refused(404, "No such upload.")
            return self._uploads[key]

    def receive(self, key: str, start: int, data: bytes, total: int) -> Upload:
        """Takes a part of an upload; the object appears with the last byte."""
        with self._lock:
            upload = self.upload(key)
            if start > len(upload.received):
                raise Refused(400, "Bytes are missing before this part.")
            received = upload.received[:start] + data
            upload.done = len(received) == total
            if upload.done:
                self.put(
                    upload.bucket,
                    upload.name,
                    received,
                    if_generation=upload.if_generation,
                )
            else:
                received = received[: len(received) // self._granule * self._granule]
            upload.received = received
            return upload


def _entry(name: str, prefix: str, delimiter: str) -> tuple[str, bool]:
    """What a listing shows of a name: itself, or the prefix that it has in common."""
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return (name, False) if end < 0 else (name[: end + len(delimiter)], True)
