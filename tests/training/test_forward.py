"""Which graph a step computes, and where its batches come from."""

import networks
import pytest
import tensorflow as tf
from folder_support import fill

from efficientnet_tf import config as config_lib
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import build, forward, pipelines

SETTINGS = {"model": "efficientnet-test", "blocks": networks.ONE, "image_size": 32}


def operations(**kwargs):
    """Types of the operations in a forward pass in training."""
    on_cpu = kwargs.pop("on_cpu")
    config = config_lib.create(dataset="fake", **SETTINGS, **kwargs)
    graph = forward.in_training(config, run_model.create(config), on_cpu=on_cpu)
    traced = tf.function(graph, autograph=False)
    images = tf.TensorSpec([2, config.train_size, config.train_size, 3], tf.uint8)
    return {
        op.type for op in traced.get_concrete_function(images).graph.get_operations()
    }


@pytest.mark.parametrize(
    ("chosen", "is_cpus"),
    [
        ({"on_cpu": True}, True),
        ({"on_cpu": True, "train_image_size": 24}, True),
        ({"on_cpu": True, "fused": "off"}, False),
        ({"on_cpu": True, "fused": "on"}, False),
        ({"on_cpu": False}, False),
    ],
    ids=str,
)
def test_one_cpu_has_a_graph_of_its_own_unless_the_user_chose(chosen, is_cpus):
    assert ("FusedBatchNormV3" in operations(**chosen)) == is_cpus


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    fill(folder / "train", (3, 5, 3))
    fill(folder / "val", (2, 2, 1), first=100)
    config = config_lib.create(
        dataset="folder", data_dir=str(folder), train_batch_size=2, **SETTINGS
    )
    return config, build.open_source(config)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_cpu_reads_pipelines_that_end_at_once(source, split):
    """TensorFlow's tuning threads can keep an iterator for a minute, see `untuned`."""
    config, data = source
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    batches = build.train_batches(config, data, strategy, consumed=0)
    if split == "validation":
        model = run_model.create(config)
        weights = {v.path: v.value for v in model.weights}
        batches = build.evaluator(
            config, model, weights, data, data.splits.validation, strategy
        ).eval_dataset
    assert isinstance(batches, tf.data.Dataset)
    assert batches.options().autotune.enabled is False


def test_several_replicas_share_batches():
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("CPU")][:2]
    )

    def dataset(context):
        size = context.get_per_replica_batch_size(4)
        return tf.data.Dataset.range(100).batch(size)

    batch = next(iter(pipelines.distributed(strategy, dataset)))
    shares = strategy.experimental_local_results(batch)
    assert [len(share) for share in shares] == [2, 2]
