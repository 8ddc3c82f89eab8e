"""The bucket stand-in, asked by TensorFlow's own client."""

import collections
import itertools
import re
from unittest.mock import ANY

import pytest
import tensorflow as tf

from bucket import client, server, store
from efficientnet_tf import files
from efficientnet_tf.hardware import packages

CONTENT = bytes(itertools.islice(itertools.cycle(range(251)), 3_000_000))
NAMES = ("a b/ä.txt", "a b/50%25+x?.bin", "a b/c/#deep", "z")


pytestmark = pytest.mark.usefixtures("empty")


def looked(count: int) -> int:
    """The expected number of requests for a file's state (stat): `count`.

    The TPU build's client makes any number: one before each part that it reads, unless
    it remembers one of the last 5 seconds, which `client` forbids.
    """
    return ANY if packages.is_tpu_build() else count


def test_objects_come_back_under_any_name(bucket):
    served, ask = bucket
    for name in NAMES:
        ask(client.write, f"gs://bucket/{name}", name.encode() + CONTENT[:100])
    assert served.store.names("bucket") == sorted(NAMES)
    assert served.count() == {"begin": 4, "put": 4}
    for name in NAMES:
        path = f"gs://bucket/{name}"
        assert ask(client.read, path) == name.encode() + CONTENT[:100]
        assert ask(client.size, path) == len(name.encode()) + 100


def test_blocks_are_read_from_where_one_asks(bucket):
    served, ask = bucket
    ask(client.write, "gs://bucket/large", CONTENT)
    served.requests.clear()
    assert ask(client.read, "gs://bucket/large", 1_234_567) == CONTENT[1_234_567:]
    # The size, then two blocks of 1 MiB.
    assert served.count() == {"stat": looked(1), "read": 2}


def test_appending_uploads_all_of_it_again(bucket):
    served, ask = bucket
    ask(client.write, "gs://bucket/log", b"one\n")
    first = served.store.get("bucket", "log")
    served.requests.clear()
    ask(client.write, "gs://bucket/log", b"two\n", "ab")
    second = served.store.get("bucket", "log")
    assert second.data == b"one\ntwo\n" and second.generation > first.generation
    expected = collections.Counter(stat=looked(0), read=1, begin=1, put=1)
    assert served.count() == expected


def test_folders_are_listed_in_pages_moved_and_removed(bucket):
    served, ask = bucket
    served.store = store.Store(page=2)
    served.store.create("bucket")
    names = [f"d/{letter}" for letter in "abcde"] + ["d/sub/f", "d/sub/g"]
    for name in names:
        served.store.put("bucket", name, name.encode())
    expected = [*"abcde", "sub/"]
    assert sorted(ask(client.gfile, "listdir", "gs://bucket/d")) == expected
    # Whether it is a folder, then three pages of two.
    assert served.count() == {"list": 4}
    assert ask(client.gfile, "glob", "gs://bucket/d/[b-c]") == [
        "gs://bucket/d/b",
        "gs://bucket/d/c",
    ]
    ask(client.gfile, "rename", "gs://bucket/d", "gs://bucket/e")
    assert served.store.names("bucket") == [f"e{name[1:]}" for name in names]
    assert served.store.get("bucket", "e/sub/g").data == b"d/sub/g"
    ask(client.gfile, "rmtree", "gs://bucket/e/sub")
    assert served.store.names("bucket") == [f"e/{letter}" for letter in "abcde"]


def test_a_folder_is_marked_once(bucket):
    served, ask = bucket
    for _ in range(2):
        ask(client.gfile, "makedirs", "gs://bucket/d/e")
    assert served.store.names("bucket") == ["d/", "d/e/"]
    with pytest.raises(store.Refused) as refused:
        served.store.put("bucket", "d/", b"", if_generation=0)
    assert refused.value.status == 412
    assert ask(client.gfile, "isdir", "gs://bucket/d")
    assert not ask(client.gfile, "exists", "gs://bucket/d/none")


def test_a_copy_in_steps_goes_on_where_its_token_says():
    steps = store.Store(rewrite_bytes=4)
    steps.create("bucket")
    steps.put("bucket", "a", b"0123456789")
    source, target = ("bucket", "a"), ("bucket", "b")
    assert steps.rewrite(source, target, 0) == (4, 10, None)
    assert steps.rewrite(source, target, 4) == (8, 10, None)
    assert steps.names("bucket") == ["a"]
    copied, _, new = steps.rewrite(source, target, 8)
    assert copied == 10 and steps.get("bucket", "b") == new
    assert new.data == b"0123456789"


def test_an_upload_that_breaks_off_goes_on_from_what_arrived(bucket):
    served, ask = bucket
    served.store = store.Store(granule=1000)
    served.store.create("bucket")
    served.faults = server.Faults(2, cut=0.5)  # of six: the second and fourth
    ask(client.write, "gs://bucket/large", CONTENT)
    assert served.store.get("bucket", "large").data == CONTENT
    came = [(request.kind, request.status) for request in served.requests]
    poll = ("poll", 308)
    assert came == [("begin", 200), ("put", 0), poll, ("put", 0), poll, ("put", 200)]


def test_what_fails_at_times_is_tried_again(bucket):
    served, ask = bucket
    served.faults = server.Faults(2, refused=0.2, cut=0.2)
    for index in range(10):
        ask(client.write, f"gs://bucket/d/{index}", CONTENT[: index * 1000])
        ask(client.gfile, "rename", f"gs://bucket/d/{index}", f"gs://bucket/e/{index}")
        assert ask(client.read, f"gs://bucket/e/{index}") == CONTENT[: index * 1000]
    assert len(ask(client.gfile, "glob", "gs://bucket/e/*")) == 10
    for index in range(10):
        ask(client.gfile, "remove", f"gs://bucket/e/{index}")
    assert served.store.names("bucket") == []
    statuses = [request.status for request in served.requests if request.fault]
    assert {0, 429, 503} == set(statuses) and len(statuses) > 20


def failure(ask, path):
    """The name of the error that reading ends with, and what `files` says of it."""
    with pytest.raises(tf.errors.OpError) as raised:
        ask(client.read, path)
    return type(raised.value).__name__, files.why_refused(raised.value)


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        (
            "gs://bucket/none",
            "NotFoundError",
            "gs://bucket/none: is not there",
        ),
        (
            "gs://nowhere/x",
            "NotFoundError",
            "gs://nowhere/x: is not there; check the bucket's name (HTTP 404: The "
            "specified bucket does not exist.)",
        ),
        (
            "gs://private/x",
            "PermissionDeniedError",
            "gs://private/x: access is denied; the account, a VM's own or that of "
            "`gcloud auth application-default login`, needs the role Storage Object "
            "Admin there (HTTP 403: The caller does not have access to the bucket.)",
        ),
    ],
)
def test_refusals_are_told_in_a_line(bucket, path, kind, reason):
    served, ask = bucket
    served.denied = {"private"}
    assert failure(ask, path) == (kind, reason)


def test_a_service_that_keeps_failing_is_told_in_a_line(bucket):
    served, ask = bucket
    for faults, path, answer in (
        (
            server.Faults(refused=1.0),
            "gs://bucket/x",
            r"HTTP \d+: injected by the test",
        ),
        (server.Faults(cut=1.0), "gs://bucket/x", "Server returned nothing"),
    ):
        served.faults = faults
        kind, told = failure(ask, "gs://bucket/x")
        assert kind == "AbortedError"
        assert told.startswith(f"{path}: the storage service keeps failing; try again")
        assert re.search(answer, told) and "\n" not in told


@pytest.mark.parametrize(
    "curl", ["Could not resolve hostname", "Couldn't connect to server"]
)
def test_a_service_that_cannot_be_reached_is_told_in_a_line(curl):
    # As TensorFlow 2.20 says it.
    error = ValueError(
        f"Error executing an HTTP request: libcurl code 6 meaning '{curl}', error "
        "details: none\n\t when reading gs://bucket/x"
    )
    assert files.why_refused(error) == (
        "gs://bucket/x: the storage service cannot be reached; check this machine's "
        f"network ({curl})"
    )


def test_an_answer_that_speaks_of_connections_is_one():
    told = files.why_refused(
        ValueError(
            "Error executing an HTTP request: HTTP response code 503 with body "
            '\'{"message": "upstream connect error"}\' when reading gs://bucket/x'
        )
    )
    assert told == (
        "gs://bucket/x: the storage service keeps failing; try again later (HTTP 503: "
        "upstream connect error)"
    )


def test_other_errors_are_no_business_of_a_bucket():
    assert files.why_refused(ValueError("HTTP response code 404")) is None
    assert files.reason(OSError(2, "No such file")) == "No such file"
    assert files.reason(ValueError("two\nlines")) == "two lines"
