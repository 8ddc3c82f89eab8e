"""The first computation on the hardware."""

import pytest
import tensorflow as tf

from efficientnet_tf.hardware import trial


def test_a_device_that_computes_is_told():
    result = trial.compute(tf.distribute.OneDeviceStrategy("CPU:0"))
    assert result == {"device": "cpu", "replicas": 1, "tensorflow": tf.__version__}


def test_a_device_that_computes_wrongly_is_named(monkeypatch):
    monkeypatch.setattr(
        trial, "sum_of_products", lambda strategy: tf.constant(2097151.0)
    )
    with pytest.raises(ValueError, match=r"device=cpu: 1 replicas computed 2\.0971"):
        trial.compute(tf.distribute.OneDeviceStrategy("CPU:0"))
