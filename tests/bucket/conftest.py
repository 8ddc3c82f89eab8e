"""Buckets that tests of this folder share, and what each test begins with."""

import pytest

from bucket import client, commands, server, store


@pytest.fixture(scope="module")
def bucket():
    """A server with one bucket, and a client of it."""
    with server.serve() as served, client.start(served) as ask:
        yield served, ask


@pytest.fixture
def empty(bucket):
    """An empty bucket with no requests; checks that no other host was asked."""
    served, _ = bucket
    served.store = store.Store()
    served.store.create("bucket")
    served.faults, served.denied = server.Faults(), set()
    served.requests.clear()
    yield
    assert served.strays == []


@pytest.fixture(scope="module")
def served(digits_dir):
    with server.serve() as started:
        commands.serve_digits(started, digits_dir)
        yield started


@pytest.fixture
def fresh(served):
    """A bucket with only the digits; checks that no other host was asked."""
    commands.clear(served)
    yield
    assert served.strays == []
