"""What the installed build of TensorFlow can do."""

import pytest

from efficientnet_tf.hardware import packages

# What a model is compiled with to be fitted, or to predict. Where there is a TPU, Keras
# itself would compile for the CPU too.
JIT = False if packages.is_tpu_build() else "auto"
needs_xla = pytest.mark.skipif(
    packages.is_tpu_build(), reason="TensorFlow's TPU build has no XLA for the CPU"
)
