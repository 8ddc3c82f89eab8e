import pytest


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory) -> str:
    """The digits' record files, written once for all tests."""
    # Here, because most test modules need no TensorFlow.
    from efficientnet_tf.data import digits

    path = str(tmp_path_factory.mktemp("digits"))
    digits.prepare(path)
    return path
