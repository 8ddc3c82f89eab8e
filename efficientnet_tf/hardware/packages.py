"""Finds the installed TensorFlow build, libtpu and extras; imports none of them.

The distributions `tensorflow` (CPU and NVIDIA cards) and `tensorflow-tpu` write into
the same folder, so the one that was installed last is the one that works.
"""

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Sequence

TENSORFLOW = "2.20"

# With an older or a newer libtpu, `import tensorflow` aborts the process; how these
# were found is in docs/tpu_guide.md.
OLDEST_LIBTPU, NEWEST_LIBTPU = "0.0.14", "0.0.31"
INSTALL = (
    "pip install --force-reinstall --no-deps tensorflow-tpu==2.20.0 "
    f"libtpu=={NEWEST_LIBTPU}"
)

_PATH = "TPU_LIBRARY_PATH"  # what TensorFlow loads in place of the package's library
LIBRARY = "tensorflow/libtensorflow_framework.so.2"


def is_tpu_build() -> bool:
    """Whether the TensorFlow that would be imported can drive a TPU."""
    try:
        build = importlib.metadata.distribution("tensorflow-tpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    # The size of a library tells which build's files lie in the folder.
    record = build.read_text("RECORD") or ""
    size = re.search(rf"^{re.escape(LIBRARY)},[^,]*,(\d+)$", record, re.MULTILINE)
    path = str(build.locate_file(LIBRARY))
    return bool(size and os.path.exists(path) and os.path.getsize(path) == int(size[1]))


def check_import() -> None:
    """Raises ValueError if the TPU build meets a libtpu that makes its import abort.

    A libtpu of the user's own (TPU_LIBRARY_PATH) does not tell its version.
    """
    if not is_tpu_build() or os.environ.get(_PATH):
        return
    try:
        found = importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(
            f"TensorFlow's TPU build needs libtpu, which is missing; {INSTALL}"
        ) from None
    if not numbers(OLDEST_LIBTPU) <= numbers(found) <= numbers(NEWEST_LIBTPU):
        raise ValueError(
            f"libtpu {found} makes TensorFlow's TPU build abort; allowed are "
            f"{OLDEST_LIBTPU} to {NEWEST_LIBTPU}: {INSTALL}"
        )


def check_tpu_build(tpu: str) -> None:
    """Raises ValueError, naming `--tpu`, if the installed build cannot drive a TPU."""
    if not is_tpu_build():
        raise ValueError(
            f"tpu={tpu}: the installed TensorFlow has no TPU support; install the "
            f"build that has: {INSTALL}"
        )


def check_compiles_here() -> None:
    """Raises ValueError if the installed build cannot lower a step without a TPU.

    The TPU build cannot, because it has no XLA for the CPU; besides, the planner's
    libtpu would make its import abort.
    """
    if is_tpu_build():
        raise ValueError(
            "mode=plan: TensorFlow's TPU build cannot lower a step here; plan in an "
            "environment of its own: python3 -m venv .plan && .plan/bin/pip install -e "
            "'.[plan]'"
        )


def check_modules(modules: Sequence[str], *, extra: str, of: str) -> None:
    """Raises ValueError if a module is missing.

    Args:
        modules: names of the modules.
        extra: the extra of setup.py that brings them.
        of: the setting that needs them, such as "mode=serve".
    """
    missing = [name for name in modules if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f"{of}: needs {', '.join(missing)}; pip install -e '.[{extra}]'"
        )


def libtpu_path() -> str:
    """Returns the path of libtpu's library: the user's, or the installed package's."""
    if os.environ.get(_PATH):
        return os.environ[_PATH]
    libtpu = importlib.metadata.distribution("libtpu")
    return str(libtpu.locate_file("libtpu/libtpu.so"))


def numbers(version: str) -> tuple[int, ...]:
    """Returns a version as numbers, to compare it."""
    return tuple(int(number) for number in re.findall(r"\d+", version))
