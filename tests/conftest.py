import os

import pytest

# TensorFlow imports jax where the extra `plan` is installed, and jax sets this to 1 for
# all child processes; commands that tests run would print TensorFlow's own errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory) -> str:
    """The digits' record files, written once for all tests."""
    # Here, because most test modules need no TensorFlow.
    from efficientnet_tf.data import digits

    path = str(tmp_path_factory.mktemp("digits"))
    digits.prepare(path)
    return path
