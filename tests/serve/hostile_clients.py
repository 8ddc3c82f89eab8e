"""Clients that mean harm or are broken: each sends one thing and returns the status."""

import contextlib
import json
import random
import socket
import struct
import zlib

import serve_support

PATH = "/v1/predict"


def random_bytes(server, draw: random.Random) -> int:
    kind = draw.choice(["image/png", "application/json", "multipart/form-data"])
    return server.post(PATH, draw.randbytes(draw.randrange(2000)), kind).status


def truncated(server, draw):
    kind = draw.choice(["PNG", "JPEG", "GIF", "BMP", "WebP"])
    encoded = serve_support.photo(draw.randrange(9), kind)
    cut = encoded[: draw.randrange(len(encoded) // 2)]
    return server.post(PATH, cut, "image/jpeg").status


def flipped(server, draw):
    """A PNG whose pixels are damaged, which its checksums tell."""
    encoded = bytearray(serve_support.photo(draw.randrange(9)))
    for _ in range(8):
        encoded[draw.randrange(60, len(encoded) - 20)] ^= 1 << draw.randrange(8)
    return server.post(PATH, bytes(encoded), "image/png").status


def png_bomb(server, draw):
    """A few kilobytes that say they are a large picture."""
    side = draw.choice([201, 20_000, 2**31 - 1])
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(100_000))
    chunks = b"".join(
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one))
        for one in (header, pixels, b"IEND")
    )
    return server.post(PATH, b"\x89PNG\r\n\x1a\n" + chunks, "image/png").status


def gif_bomb(server, draw):
    """A small picture with many large frames."""
    encoded = serve_support.photo(kind="GIF", size=(100, 100))
    start = encoded.index(b"\x2c\0\0\0\0")
    frames = encoded[start:-1] * 6
    return server.post(PATH, encoded[:start] + frames + b";", "image/gif").status


def jpeg_bomb(server, draw):
    encoded = serve_support.photo(kind="JPEG")
    at = encoded.index(b"\xff\xda")
    scans = encoded[at : at + 300] * 120
    return server.post(PATH, encoded[:at] + scans + encoded[at:], "image/jpeg").status


def wrong_json(server, draw):
    body = draw.choice(
        [
            b"[" * 50_000,
            b'{"images": ' + b"[" * 50_000,
            b'{"images": ["' + b"A" * 9_999 + b'"]}',
            json.dumps({"images": ["../../etc/passwd", "http://127.0.0.1/x"]}).encode(),
            json.dumps({"url": "file:///etc/passwd"}).encode(),
            b'{"images": [], "top_k": ' + b"9" * 5_000 + b"}",
            b'{"images": ["AAAA"], "top_k": 1e999}',
        ]
    )
    return server.post(PATH, body).status


def wrong_form(server, draw):
    good, kind = serve_support.form([("../../x\r\n", b"x")] * draw.choice([1, 100]))
    cut = good[: draw.randrange(len(good))]
    return server.post(PATH, draw.choice([good, cut]), kind).status


def wrong_type(server, draw):
    kind = draw.choice(["text/html", "image", "", "a" * 1000, "video/mp4; x=\xff"])
    return server.post(PATH, serve_support.photo(), kind).status


def too_large(server, draw):
    return server.post(
        PATH, bytes(draw.randrange(200_001, 900_000)), "image/png"
    ).status


def huge_head(server, draw):
    line = f"X-{draw.randrange(9)}: {'a' * draw.choice([10, 1000])}\r\n"
    return sent(server, b"GET / HTTP/1.1\r\n" + line.encode() * 5_000)


def no_http(server, draw):
    lines = [
        draw.randbytes(200) + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 50 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        post(b"Content-Length: -1"),
        post(b"Content-Length: 1\r\nContent-Length: 2"),
        post(b"Content-Length: 99999999999999999999"),
        post(b"Transfer-Encoding: chunked") + b"zz\r\n",
        b"GET http://127.0.0.1/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    return sent(server, draw.choice(lines))


def slow_head(server, draw):
    """Never ends its head, and says nothing at all at times."""
    return sent(
        server, draw.choice([b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
    )


def slow_body(server, draw):
    return sent(server, post(b"Content-Length: 1000") + b"x" * draw.randrange(1000))


def post(line: bytes) -> bytes:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    return head + line + b"\r\n\r\n"


def sent(server, content: bytes) -> int:
    """Sends bytes, and reads the answer to its end."""
    with server.connect() as client:
        with contextlib.suppress(OSError):  # an answer may still be read
            client.sendall(content)
        found = client.recv(100)
        client.shutdown(socket.SHUT_WR)
        return int(found.split(b" ")[1])


def left(server, draw):
    """Goes in the middle of what it sends, so there is no answer to read."""
    whole = post(b"Content-Length: 1000") + b"x" * 900
    with server.connect() as client:
        client.sendall(whole[: draw.randrange(len(whole))])
    return 400


KINDS = (
    *(random_bytes, truncated, flipped, png_bomb, gif_bomb, jpeg_bomb, wrong_json),
    *(
        wrong_form,
        wrong_type,
        too_large,
        huge_head,
        no_http,
        slow_head,
        slow_body,
        left,
    ),
)
