"""What the installed build of TensorFlow can do."""

import pytest

from efficientnet_tf.hardware import packages

needs_xla = pytest.mark.skipif(
    packages.is_tpu_build(), reason="TensorFlow's TPU build has no XLA for the CPU"
)
