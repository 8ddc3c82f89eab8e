"""Whatever clients send, they get a 4xx, and the server answers others as before."""

import concurrent.futures
import contextlib
import random
import time

import hostile_clients
import psutil
import pytest
import serve_support
from slow_cases import slow

PHOTO = serve_support.photo()


def attack(server, number: int) -> tuple[str, int]:
    kinds = hostile_clients.KINDS
    kind = kinds[number % len(kinds)]
    return kind.__name__, kind(server, random.Random(number))


@pytest.mark.parametrize("uploads", [60, *slow(2_000)])
def test_hostile_clients_get_a_4xx(server, uploads):
    before = server.post("/v1/predict", PHOTO, "image/png").json["results"]
    process = psutil.Process()
    with concurrent.futures.ThreadPoolExecutor(32) as clients:
        found = list(clients.map(lambda n: attack(server, n), range(uploads // 2)))
        resident = process.memory_info().rss
        later = range(uploads // 2, uploads)
        found += clients.map(lambda n: attack(server, n), later)
    wrong = [one for one in found if not 400 <= one[1] < 500]
    assert not wrong and len(found) == uploads
    after = server.post("/v1/predict", PHOTO, "image/png").json["results"]
    assert after == before
    assert server.get("/healthz").status == 200
    assert process.memory_info().rss - resident < 64e6
    wait_until_empty(server)


def wait_until_empty(server):
    """Waits until the server holds nothing of any client."""
    room = server.service.room
    end = time.monotonic() + 30
    while room.images or room.size or server.connections:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (hostile_clients.huge_head, 431),
        (hostile_clients.slow_head, 408),
        (hostile_clients.slow_body, 408),
        (hostile_clients.too_large, 413),
        (hostile_clients.jpeg_bomb, 422),
        (hostile_clients.gif_bomb, 422),
        (hostile_clients.png_bomb, 422),
        (hostile_clients.flipped, 422),
        (hostile_clients.wrong_type, 415),
    ],
)
def test_what_each_is_told(server, client, status):
    assert client(server, random.Random(5)) == status


def test_a_head_that_comes_byte_by_byte_has_a_deadline(server):
    began, answer = time.monotonic(), b""
    with server.connect() as client:
        client.settimeout(0.1)
        while not answer and time.monotonic() - began < 20:
            with contextlib.suppress(TimeoutError):
                client.sendall(b"G")
                answer = client.recv(1000)
        client.settimeout(20)
        while more := client.recv(1000):  # the body may come apart from the head
            answer += more
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"no whole head came in 1 s" in answer


def test_a_second_request_has_a_deadline_too(server):
    with server.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert receive(client, b"ok").startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /healthz HT")
        assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_refused_body_is_not_read_for_long(server):
    began = time.monotonic()
    with server.connect() as client:
        client.sendall(hostile_clients.post(b"Content-Length: 900000000"))
        assert client.recv(1000).startswith(b"HTTP/1.1 413")
        with pytest.raises(OSError):
            while time.monotonic() - began < 20:
                client.sendall(b"x")
                time.sleep(0.05)


def test_a_second_request_may_wait_for_its_body(server):
    with server.connect() as client:
        later = hostile_clients.post(b"Content-Length: %d" % len(PHOTO))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + later)
        receive(client, b"ok")
        time.sleep(0.2)
        client.sendall(PHOTO)
        receive(client, b"predictions")


def receive(client, end: bytes, *, times=1) -> bytes:
    """Reads until some bytes have come, so often; returns all that came."""
    found = b""
    while found.count(end) < times:
        more = client.recv(4096)
        assert more, found
        found += more
    return found


def test_requests_on_one_connection_are_answered_in_order(server):
    with server.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        receive(client, b"HTTP/1.1 200", times=3)
