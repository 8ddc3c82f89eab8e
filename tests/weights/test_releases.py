"""No network: a server in this process serves what the tests fetch."""

import hashlib
import http.server
import io
import os
import random
import re
import socket
import subprocess
import sys
import tarfile
import threading

import pytest

from efficientnet_tf.weights import releases

pytestmark = pytest.mark.usefixtures("own_cache_settings")

CONTENT = b"weights" * 1000


SHA256 = hashlib.sha256(CONTENT).hexdigest()


DIGEST = f"sha256:{SHA256}"


class Server:
    """Serves `files` by path; paths in `cut` lose the second half of their bytes."""

    def __init__(self):
        self.files = {"/b0.h5": CONTENT}
        self.cut = set()
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                half = len(content) // 2
                self.wfile.write(content[:half] if self.path in outer.cut else content)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # Polling this often, shutdown takes no half second.
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.stop()


def release(*urls, digest=DIGEST, checkpoint=""):
    return releases.Release("efficientnet-b0", "imagenet", urls, digest, checkpoint)


@pytest.fixture
def closed_url():
    """A URL on a port that is taken, so that nobody else does, and not listened on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/b0.h5"


RESOLVE = socket.getaddrinfo


def resolve_numbers_alone(host, *args, **kwargs):
    """What getaddrinfo does on a machine without a name server."""
    if host != "127.0.0.1":
        raise socket.gaierror(-2, "Name or service not known")
    return RESOLVE(host, *args, **kwargs)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_download_is_kept_and_found_again_without_the_server(server, tmp_path):
    wanted = release(f"{server.url}/b0.h5")
    path = releases.fetch(wanted, cache_dir=str(tmp_path / "new"))
    assert path == str(tmp_path / "new" / "b0.h5")
    assert read(path) == CONTENT
    assert os.listdir(tmp_path / "new") == ["b0.h5"]
    server.stop()
    assert releases.fetch(wanted, cache_dir=str(tmp_path / "new")) == path
    assert releases.fetch(wanted, cache_dir=tmp_path / "new", offline=True) == path
    assert server.requests == ["/b0.h5"]


@pytest.mark.parametrize(
    "digest", [DIGEST[:15], f"md5:{hashlib.md5(CONTENT).hexdigest()}"]
)
def test_published_digests_are_prefixes_or_md5(server, tmp_path, digest):
    wanted = release(f"{server.url}/b0.h5", digest=digest)
    assert read(releases.fetch(wanted, cache_dir=tmp_path)) == CONTENT
    server.files["/b0.h5"] = b"other"
    (tmp_path / "b0.h5").unlink()
    with pytest.raises(ValueError, match=digest):
        releases.fetch(wanted, cache_dir=tmp_path)


def test_wrong_digest_leaves_no_file(server, tmp_path):
    wanted = release(f"{server.url}/b0.h5", digest=f"sha256:{'0' * 64}")
    with pytest.raises(ValueError) as raised:
        releases.fetch(wanted, cache_dir=tmp_path)
    for part in (f"{server.url}/b0.h5", DIGEST, f"sha256:{'0' * 64}"):
        assert part in str(raised.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:1234567", "md5:12345678"])
def test_a_release_without_a_digest_is_refused(digest):
    with pytest.raises(ValueError, match=re.escape(f"digest={digest!r}: allowed are")):
        release("https://example.com/b0.h5", digest=digest)


def test_urls_are_tried_in_order(server, closed_url, tmp_path):
    server.files["/wrong/b0.h5"] = b"other"
    wanted = release(
        closed_url,
        f"{server.url}/missing/b0.h5",
        f"{server.url}/wrong/b0.h5",
        f"{server.url}/b0.h5",
    )
    assert read(releases.fetch(wanted, cache_dir=tmp_path)) == CONTENT
    assert server.requests == ["/missing/b0.h5", "/wrong/b0.h5", "/b0.h5"]
    assert os.listdir(tmp_path) == ["b0.h5"]


def test_one_error_tells_what_every_url_said(server, closed_url, tmp_path, monkeypatch):
    unknown = "http://no-such-host.invalid/b0.h5"
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", resolve_numbers_alone)
    wanted = release(closed_url, f"{server.url}/missing.h5", unknown)
    with pytest.raises(ValueError) as raised:
        releases.fetch(wanted, cache_dir=tmp_path)
    text = str(raised.value)
    assert text.startswith("efficientnet-b0 imagenet cannot be fetched (")
    assert re.search(rf"{closed_url}: .*Connection refused", text)
    assert f"{server.url}/missing.h5: HTTP 404 Not Found" in text
    assert f"{unknown}: [Errno -2] Name or service not known" in text
    assert f"at {tmp_path / 'b0.h5'} by hand" in text
    assert "EFFICIENTNET_TF_OFFLINE=1" in text
    assert "\n" not in text
    assert os.listdir(tmp_path) == []


def test_a_silent_server_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(releases, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wanted = release(f"http://127.0.0.1:{silent.getsockname()[1]}/b0.h5")
        with pytest.raises(ValueError, match="timed out"):
            releases.fetch(wanted, cache_dir=tmp_path)


def test_a_cut_download_is_no_file(server, tmp_path):
    server.cut.add("/b0.h5")
    with pytest.raises(ValueError, match="ended after 3500 of 7000 bytes"):
        releases.fetch(release(f"{server.url}/b0.h5"), cache_dir=tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_damaged_file_is_fetched_anew(server, tmp_path):
    wanted = release(f"{server.url}/b0.h5")
    (tmp_path / "b0.h5").write_bytes(CONTENT[:-1])
    assert read(releases.fetch(wanted, cache_dir=tmp_path)) == CONTENT
    assert server.requests == ["/b0.h5"]


@pytest.mark.parametrize("switch", ["1", "true", "True"])
def test_offline_looks_in_the_cache_alone(server, tmp_path, monkeypatch, switch):
    monkeypatch.setenv("EFFICIENTNET_TF_OFFLINE", switch)
    wanted = release(f"{server.url}/b0.h5")
    with pytest.raises(ValueError) as raised:
        releases.fetch(wanted, cache_dir=tmp_path)
    assert f"efficientnet-b0 imagenet: no {tmp_path / 'b0.h5'}" in str(raised.value)
    assert f"put {server.url}/b0.h5 there by hand" in str(raised.value)
    assert server.requests == []
    assert read(releases.fetch(wanted, cache_dir=tmp_path, offline=False)) == CONTENT
    assert releases.fetch(wanted, cache_dir=tmp_path) == str(tmp_path / "b0.h5")


def test_offline_tells_of_a_damaged_file(tmp_path):
    (tmp_path / "b0.h5").write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ValueError, match=f"b0.h5 is sha256:{found}, not {DIGEST}"):
        releases.fetch(
            release("https://x.invalid/b0.h5"), cache_dir=tmp_path, offline=True
        )


def test_where_the_cache_is(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    default = tmp_path / "home" / ".cache" / "efficientnet_tf" / "weights"
    assert releases.default_dir() == str(default)
    monkeypatch.setenv("EFFICIENTNET_TF_CACHE", "~/weights")
    path = releases.fetch(release(f"{server.url}/b0.h5"))
    assert path == str(tmp_path / "home" / "weights" / "b0.h5")


def test_processes_that_fetch_at_once_end_with_a_good_file(server, tmp_path):
    server.files["/b0.h5"] = content = random.Random(0).randbytes(4_000_000)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    script = (
        "from efficientnet_tf.weights import releases;"
        f"wanted = releases.Release('b0', 'x', ('{server.url}/b0.h5',), '{digest}');"
        f"print(releases.fetch(wanted, cache_dir='{tmp_path}'))"
    )
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate()[0].decode().strip() for process in processes]
    assert outputs == [str(tmp_path / "b0.h5")] * 2
    assert read(tmp_path / "b0.h5") == content
    assert os.listdir(tmp_path) == ["b0.h5"]


def archive(names):
    """A tar.gz with one file of each name, and its digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    content = buffer.getvalue()
    return content, f"sha256:{hashlib.sha256(content).hexdigest()}"


CHECKPOINT = ["b0/model.ckpt.index", "b0/model.ckpt.data-00000-of-00001"]


def fetch_archive(server, tmp_path, names):
    server.files["/b0.tar.gz"], digest = archive(names)
    url = f"{server.url}/b0.tar.gz"
    wanted = release(url, digest=digest, checkpoint="b0/model.ckpt")
    return releases.fetch(wanted, cache_dir=tmp_path)


def test_an_archive_gives_the_prefix_of_its_checkpoint(server, tmp_path):
    prefix = fetch_archive(server, tmp_path, [*CHECKPOINT, "b0/graph.tflite"])
    assert prefix == str(tmp_path / "b0.tar.gz.unpacked" / "b0" / "model.ckpt")
    assert read(f"{prefix}.index") == b"b0/model.ckpt.index"
    assert sorted(os.listdir(os.path.dirname(prefix))) == [
        "model.ckpt.data-00000-of-00001",
        "model.ckpt.index",
    ]
    with open(f"{prefix}.index", "w") as file:
        file.write("damaged")
    assert fetch_archive(server, tmp_path, [*CHECKPOINT, "b0/graph.tflite"]) == prefix
    assert read(f"{prefix}.index") == b"b0/model.ckpt.index"
    assert server.requests == ["/b0.tar.gz"]
    assert sorted(os.listdir(tmp_path)) == ["b0.tar.gz", "b0.tar.gz.unpacked"]


@pytest.mark.parametrize("name", ["../evil", "b0/../../evil"])
def test_an_archive_that_leaves_its_folder_is_refused(server, tmp_path, name):
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match=r"b0\.tar\.gz: cannot be unpacked \(.*evil"):
        fetch_archive(server, cache, [*CHECKPOINT, name])
    assert os.listdir(tmp_path) == ["cache"]
    assert os.listdir(cache) == ["b0.tar.gz"]


def test_an_archive_without_the_checkpoint_is_refused(server, tmp_path):
    with pytest.raises(ValueError, match=r"holds no checkpoint b0/model\.ckpt"):
        fetch_archive(server, tmp_path, ["b0/readme"])


def test_what_is_no_archive_is_refused(server, tmp_path):
    server.files["/b0.tar.gz"] = CONTENT
    wanted = release(f"{server.url}/b0.tar.gz", checkpoint="b0/model.ckpt")
    with pytest.raises(ValueError, match=r"b0\.tar\.gz: cannot be unpacked"):
        releases.fetch(wanted, cache_dir=tmp_path)
