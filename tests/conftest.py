import os

import pytest

# TensorFlow imports jax where the extra `plan` is installed, and jax sets this to 1 for
# all child processes; commands that tests run would print TensorFlow's own errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The files that take minutes, longest first: one begun last would leave the other
# cores idle.
LONG = (
    *("test_resume", "test_steps", "test_end_to_end", "test_weights_command_line"),
    *("test_planning", "test_models", "test_fused", "test_trials"),
    *("test_hosts", "test_host_runs"),
)


def pytest_collection_modifyitems(items):
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory) -> str:
    """The digits' record files, written once for all tests."""
    # Here, because most test modules need no TensorFlow.
    from efficientnet_tf.data import digits

    path = str(tmp_path_factory.mktemp("digits"))
    digits.prepare(path)
    return path
