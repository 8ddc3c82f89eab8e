"""Which TensorFlow is installed, found without importing it."""

import importlib.metadata
import os

# Its size differs between the builds: 254 MB in the plain one, 59 MB in the TPU's.
_LIBRARY = "tensorflow/libtensorflow_framework.so.2"


def has_tpu_build() -> bool:
    """Whether the files in TensorFlow's folder are those of `tensorflow-tpu`.

    It writes into the same folder as `tensorflow`; both may be installed, and the one
    that came last is there.
    """
    try:
        distribution = importlib.metadata.distribution("tensorflow-tpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    path = distribution.locate_file(_LIBRARY)
    size = _recorded_size(distribution.read_text("RECORD") or "")
    return os.path.exists(path) and os.path.getsize(path) == size


def _recorded_size(record: str) -> int | None:
    """The library's size in a RECORD, of lines "path,hash,size"."""
    for line in record.splitlines():
        if line.startswith(_LIBRARY + ","):
            return int(line.rsplit(",", 1)[1])
    return None
