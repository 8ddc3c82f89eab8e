"""Runs that change their images in the training step, not in the input pipeline."""

import absent_tpu
import networks
import numpy as np
import pytest
import replicas
import tensorflow as tf
import tpu_graph
import tpu_graph_run
from builds import needs_xla
from replica_run import ReplicaRun

from efficientnet_tf import config as config_lib
from efficientnet_tf.planning import lowering
from efficientnet_tf.training import augmentation, build

CHANGED = {
    "augment": "randaugment",
    "randaugment_num_layers": 1,
    "random_erasing": 0.5,
    "mixup_alpha": 0.4,
    "cutmix_alpha": 1.0,
}
STILL = {"dropout_rate": 0.0, "survival_prob": 1.0, "blocks": networks.ONE}


@pytest.mark.slow
def test_two_replicas_train_alike_wherever_images_are_changed(digits_dir):
    host, device = (
        ReplicaRun(replicas.two(), digits_dir, augment_on=place, **CHANGED, **STILL)
        for place in ("host", "device")
    )
    np.testing.assert_array_equal(device.losses, host.losses)
    np.testing.assert_array_equal(device.weights, host.weights)


def test_recalibration_sees_the_images_of_a_step(digits_dir):
    found = []
    for place in ("host", "device"):
        run = ReplicaRun(
            tf.distribute.OneDeviceStrategy("/cpu:0"),
            digits_dir,
            augment_on=place,
            augment="none",
            random_erasing=0.5,
            train_batch_size=32,
            steps=0,
            **{"recalibration_batches": 2} | STILL,
        )
        build.recalibrator(run.config, run.state, run.source, run.strategy)()
        weights = run.state.inference_weights()
        found.append([v.numpy() for p, v in sorted(weights.items()) if "moving" in p])
    assert len(found[0]) > 2
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tpu_refuses_nothing_of_it(digits_dir):
    config = config_lib.create(
        dataset="digits",
        data_dir=digits_dir,
        augment_on="device",
        train_batch_size=16,
        **CHANGED | {"augment": "trivialaugment"},
        **STILL,
    )
    _, trainer, _ = tpu_graph_run.build_run(config, absent_tpu.strategy(2))
    function = tpu_graph_run.trace_training(trainer)
    operations = tpu_graph.step_operations(function)
    assert any(operation.type == "StatelessWhile" for operation in operations)
    assert tpu_graph.problems(operations, device="XLA_CPU_JIT") == []
    counted = tpu_graph.counts(tpu_graph.bridge(function, cores=2))
    assert counted["tf_device.replicate"] == counted["tf_device.cluster_func"] == 1
    assert counted["tf_device.launch"] == 0  # a call of the host


@pytest.mark.slow
@needs_xla
def test_a_planned_step_has_it_too():
    settings = {"dataset": "fake", "image_size": 32, "train_batch_size": 4, **STILL}
    plain, changed = (
        len(lowering.lower(lowering.prepare(config, step="train")))
        for config in (
            config_lib.create(**settings),
            config_lib.create(augment_on="device", **settings | CHANGED),
        )
    )
    assert changed > plain + 10_000  # bytes of HLO


@pytest.mark.parametrize(
    "chosen",
    [
        {"augment": "autoaugment"},
        {"augment_on": "device", "augment": "none"},
        {"augment_on": "device", "augment": "autoaugment", "freeze": "backbone"},
    ],
)
def test_a_step_without_it_is_as_before(chosen):
    config = config_lib.create(dataset="fake", **chosen)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    assert augmentation.in_step(config, strategy) is None
