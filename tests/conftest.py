"""What every test is given: the same settings, the same random numbers, any order."""

import atexit
import contextlib
import ctypes
import gc
import os
import random
import shutil
import signal
import site
import sys
import tempfile

import pytest
import worker_count
from alike import (
    begin_alike,
    environment_kept,
    forget_graphs,
    passing_graphs,
    split_cpu,
)

# The files that go first: those with the largest models, because a process grows with
# each training, then those that take longest, because one begun last would leave the
# other cores idle.
FIRST = (
    *("test_keras_writing", "test_keras_reading", "test_models", "test_wheels"),
    *("test_bucket", "test_bucket_refusals", "test_resume", "test_steps"),
    *("test_end_to_end", "test_weights_command_line", "test_fused", "test_trials"),
    *("test_plan", "test_hosts", "test_host_runs", "test_tpu_loop", "test_tpu_graph"),
    *("test_weights", "test_tf1", "test_augment_placements", "test_strict_loading"),
    *("test_hlo", "test_training_runs"),
)
HELPERS = ("weight_helpers", "_support")  # modules that keep models for several tests
# The process's bytes after the last collection, and after the last of everything.
RESIDENT = {"kept": 0, "settled": 0}
# Settings of a user that would reach tests and the processes they start.
OF_THE_USER = (
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "KERAS_HOME", "KERAS_BACKEND"),
    *("MPLCONFIGDIR", "MATPLOTLIBRC", "TFDS_DATA_DIR", "TF_DETERMINISTIC_OPS"),
    *("EFFICIENTNET_TF_CACHE", "EFFICIENTNET_TF_OFFLINE"),
)


def _settle_environment():
    """Hides the user's settings and caches, before TensorFlow and Keras read them."""
    home = tempfile.mkdtemp(prefix="efficientnet_tf-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    # Packages installed for one user are found through HOME.
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
    os.environ["HOME"] = home
    for name in OF_THE_USER:
        os.environ.pop(name, None)
    # Each worker's share: more threads than cores wait for each other.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for kind in ("INTRAOP", "INTEROP"):
        os.environ[f"TF_NUM_{kind}_THREADS"] = str(max(1, os.cpu_count() // workers))
    # TensorFlow imports jax where the extra `plan` is installed, and jax sets this to 1
    # for all child processes; commands that tests run would print TensorFlow's errors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN's kernels keep all memory that they ever took: 2.0 GB instead of 0.9 GB
    # after tests/weights/test_keras_reading.py.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


# A shell ignores Ctrl-C in what it starts in the background, and so would all tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
# As this module is imported: conftest.py of a folder imports TensorFlow right after it.
_settle_environment()


def pytest_addoption(parser):
    parser.addoption(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="run the files, and the tests in each, in a random order of this seed",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Asks for a worker for each core that the memory has room for."""
    return worker_count.workers()


def pytest_collection_modifyitems(config, items):
    seed = config.getoption("--shuffle")
    if seed is None:
        ranks = {name: rank for rank, name in enumerate(FIRST)}
        items.sort(key=lambda item: ranks.get(item.path.stem, len(FIRST)))
        return
    draw = random.Random(seed)
    draw.shuffle(items)
    places = list(dict.fromkeys(item.path for item in items))
    draw.shuffle(places)
    # A file's tests stay together, because they share its fixtures.
    items.sort(key=lambda item: places.index(item.path))


def pytest_collection_finish():
    split_cpu(2)  # for tests of two replicas; others use the first
    _collect()


def _collect():
    """Frees what nothing holds any more; the rest, which stays, costs no more time.

    TensorFlow alone makes half a million objects, half a second for each collection.
    What was not free when it was frozen may be later: all is looked through once the
    process has grown by 128 MB.
    """
    is_thorough = not 0 < _resident() < RESIDENT["settled"] + (128 << 20)
    if is_thorough:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
    _trim()
    if is_thorough:
        RESIDENT["settled"] = RESIDENT["kept"]


def _collect_if_grown():
    """Frees models, which refer to themselves, once they take 64 MB.

    To look for them after each test would take 5% of the suite's time.
    """
    if 0 < _resident() < RESIDENT["kept"] + (64 << 20):
        return
    gc.collect()
    _trim()


def _trim():
    """Gives freed memory back, which the process would keep."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    RESIDENT["kept"] = _resident()


def _resident() -> int:
    """This process's bytes of memory; 0 where no file says so."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """What tests share is the same whichever of them asks for it first."""
    if fixturedef.scope != "function":
        begin_alike()
    return (yield)


@pytest.fixture(autouse=True, scope="module")
def _fresh():
    forget_graphs()
    # Here, because pytest holds what a file's last test was given until that has ended.
    _collect()


@pytest.fixture(autouse=True)
def _alike():
    begin_alike()
    with environment_kept(), contextlib.chdir(os.getcwd()):
        yield
    _collect_if_grown()


@pytest.fixture
def float64():
    """Has models built and called in float64, whose rounding is no matter."""
    import keras

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    # Taken back where the next test begins.


@pytest.fixture(scope="module", autouse=True)
def _passing(request):
    """Lets go of a file's models and graphs, of which a process runs many."""
    with passing_graphs():
        yield
    if "tensorflow" in sys.modules:
        helpers = [m for name, m in sys.modules.items() if name.endswith(HELPERS)]
        for module in (request.module, *helpers):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
        begin_alike()


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory) -> str:
    """The digits' record files, written once for all tests."""
    # Here, because most test modules need no TensorFlow.
    from efficientnet_tf.data import digits

    path = str(tmp_path_factory.mktemp("digits"))
    digits.prepare(path)
    return path
