"""What a TPU would be given: runs are traced under TPUStrategy and looked at.

No TPU is needed, and none runs: test_tpu_loop.py runs what these tests trace.
"""

import collections
import functools
from unittest import mock

import absent_tpu
import networks
import numpy as np
import pytest
import tensorflow as tf
import tpu_graph
import tpu_graph_run
from slow_cases import slow

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.runs import checkpoint_files
from efficientnet_tf.training import checkpoint_folders, predictions

# XLA's kernels of the plain build; test_tpu_install.py asks for those of a TPU.
KERNELS = "XLA_CPU_JIT"
FUSED = pytest.mark.parametrize("fused", ["off", *slow("on")])
CONVOLUTIONS = {
    *("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput"),
    *("DepthwiseConv2dNative", "DepthwiseConv2dNativeBackpropFilter"),
    "DepthwiseConv2dNativeBackpropInput",
}


@pytest.fixture(scope="module")
def run_of(digits_dir):
    @functools.cache
    def run_of(fused, kept=None):
        config = config_lib.create(
            dataset="digits", data_dir=digits_dir, blocks=networks.TINY, fused=fused
        )
        return tpu_graph_run.build_run(config, absent_tpu.strategy(2), kept)

    return run_of


@pytest.fixture(scope="module")
def training(run_of):
    @functools.cache
    def training(fused):
        return tpu_graph_run.trace_training(run_of(fused)[1])

    return training


def types(operations) -> collections.Counter:
    return collections.Counter(operation.type for operation in operations)


@FUSED
def test_the_loop_gives_a_tpu_nothing_it_refuses(training, fused):
    operations = tpu_graph.step_operations(training(fused))
    assert types(operations)["Conv2DBackpropFilter"] >= 10  # one for each convolution
    assert tpu_graph.problems(operations, device=KERNELS) == []


@FUSED
def test_convolutions_compute_in_bfloat16_and_sums_in_float32(training, fused):
    found = collections.defaultdict(set)
    for operation in tpu_graph.step_operations(training(fused)):
        found[operation.type].update(x.dtype for x in operation.outputs)
    assert {dtype for name in CONVOLUTIONS for dtype in found[name]} == {tf.bfloat16}
    assert found["CrossReplicaSum"] == found["L2Loss"] == {tf.float32}


@pytest.mark.parametrize(("fused", "per_norm"), [("off", 5), *slow(("on", 4))])
def test_replicas_sum_gradients_and_moments_alone(training, run_of, fused, per_norm):
    state, *_ = run_of(fused)
    norms = [n for n in state.model.layers if n.name.endswith("_bn")]
    assert len(norms) == 8
    # Two moments and their gradients; Keras sums its number of values as well.
    expected = len(state.model.trainable_variables) + per_norm * len(norms)
    counted = types(tpu_graph.step_operations(training(fused)))
    assert counted["CrossReplicaSum"] == expected
    # The step's number, of which the first replica's is taken.
    assert counted["AllToAll"] == 1


@FUSED
def test_the_host_only_fetches_between_steps(training, fused):
    counted = tpu_graph.host_operations(training(fused))
    assert counted["While"] == 1
    assert counted["IteratorGetNext"] == 2  # a batch for each core
    # TPUStrategy adds these to a step whose last batch may be smaller.
    assert not {"If", "OptionalHasValue", "PartitionedCall"} & set(counted)


@FUSED
def test_the_bridge_makes_one_cluster_of_a_step(training, fused):
    counted = tpu_graph.counts(tpu_graph.bridge(training(fused), cores=2))
    assert counted["tf.WhileRegion"] == 1
    assert counted["tf_device.replicate"] == counted["tf_device.cluster_func"] == 1
    assert counted["tf_device.launch"] == 0  # a call of the host
    assert counted["tf.DepthwiseConv2dNativeBackpropFilter"] == 2


@pytest.mark.parametrize("keeps_predictions", [True, *slow(False)])
def test_evaluation_gives_a_tpu_nothing_it_refuses(run_of, keeps_predictions):
    kept = predictions.Predictions() if keeps_predictions else None
    function = tpu_graph_run.trace_evaluation(run_of("off", kept)[2])
    operations = tpu_graph.step_operations(function)
    assert types(operations)["Conv2D"] == 10
    assert tpu_graph.problems(operations, device=KERNELS) == []
    assert not {"If", "OptionalHasValue"} & set(tpu_graph.host_operations(function))
    counted = tpu_graph.counts(tpu_graph.bridge(function, cores=2))
    assert counted["tf_device.replicate"] == counted["tf_device.cluster_func"] == 1
    assert counted["tf_device.launch"] == 0


def test_looking_for_nan_gives_a_tpu_nothing_it_refuses(run_of):
    state, *_ = run_of("off")
    function = state._finite._sums.get_concrete_function()
    operations = tpu_graph.step_operations(function)
    floats = [v for v in state.computed().values() if v.dtype.is_floating]
    assert types(operations)["Sum"] == len(floats)
    assert tpu_graph.problems(operations, device=KERNELS) == []
    counted = tpu_graph.counts(tpu_graph.bridge(function, cores=2))
    assert counted["tf_device.replicate"] == counted["tf_device.cluster_func"] == 1


def test_a_run_under_tpu_strategy_is_one_of_a_tpu(run_of):
    state, *_ = run_of("off")
    assert devices.kind(absent_tpu.strategy(1)) == "tpu"
    assert state.model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert type(state.step).__name__ == "TPUDistributedVariable"


def test_a_checkpoint_comes_back_on_every_core(run_of, tmp_path):
    state, *_ = run_of("off")
    kernel = state.model.get_layer("stem_conv").kernel.value
    state.step.assign(7)
    checkpoints = checkpoint_folders.CheckpointFolders(str(tmp_path), state)
    saved = kernel.numpy()
    # The cores would look for NaN themselves; these only hold variables.
    with mock.patch.object(state, "first_not_finite", lambda: None):
        checkpoints.save()
        kernel.assign(tf.zeros_like(saved))
        state.step.assign(8)
        checkpoints.restore(checkpoint_files.read(str(tmp_path / "checkpoints")))
    copies = absent_tpu.strategy(2).experimental_local_results(kernel)
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_array_equal(copy.numpy(), saved)
    assert int(state.step.numpy()) == 7
    state.step.assign(0)


# Each problem that the tests above look for, in a step without other problems.


def calls_python(x):
    return tf.ensure_shape(tf.py_function(tf.identity, [x], tf.float32), x.shape)


def calls_python_in_a_function(x):
    return tf.function(calls_python)(x)


def calls_python_in_a_branch(x):
    return tf.cond(x[0, 0] > 0, lambda: calls_python(x), lambda: x)


def keeps_some_rows(x):
    return tf.boolean_mask(x, x[:, 0] > 0)


def computes_in_float64(x):
    return tf.cast(tf.cast(x, tf.float64) * 2, tf.float32)


def formats_a_string(x):
    tf.strings.join(["x=", tf.strings.as_string(x[0, 0])])
    return x


def prints_on_the_host(x):
    tf.py_function(lambda: None, [], [])
    return x


def traced(body, *, finite: bool = False):
    strategy = absent_tpu.strategy(2)
    with strategy.scope():
        total = tf.Variable(0.0)
    rows = tf.data.Dataset.from_tensors(tf.ones([2])).repeat(None if not finite else 7)
    batches = strategy.distribute_datasets_from_function(
        lambda _: rows.batch(4, drop_remainder=not finite)
    )

    def replica_step(x):
        total.assign_add(tf.reduce_sum(body(x)))

    @tf.function
    def step(iterator):
        strategy.run(replica_step, args=(next(iterator),))

    return step.get_concrete_function(iter(batches))


def test_a_sound_step_has_no_problems():
    function = traced(lambda x: x * 2)
    operations = tpu_graph.step_operations(function)
    assert types(operations)["Mul"] == 1
    assert tpu_graph.problems(operations, device=KERNELS) == []
    assert tpu_graph.counts(tpu_graph.bridge(function, cores=2))["tf.Mul"] == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (calls_python, "EagerPyFunc: no kernel"),
        (calls_python_in_a_function, "EagerPyFunc: no kernel"),
        (calls_python_in_a_branch, "EagerPyFunc: no kernel"),
        (prints_on_the_host, "EagerPyFunc: no kernel"),
        (keeps_some_rows, "shape (None, 2)"),
        (computes_in_float64, "float64, which a TPU emulates"),
        (formats_a_string, "StringJoin: no kernel"),
    ],
)
def test_a_step_that_a_tpu_refuses_is_found(body, expected):
    operations = tpu_graph.step_operations(traced(body))
    found = tpu_graph.problems(operations, device=KERNELS)
    assert [line for line in found if expected in line], found


def test_a_last_batch_that_is_smaller_is_found():
    function = traced(tf.identity, finite=True)
    operations = tpu_graph.step_operations(function)
    found = tpu_graph.problems(operations, device=KERNELS)
    assert [line for line in found if line.endswith("shape (None, 2)")]
    assert "OptionalHasValue" in tpu_graph.host_operations(function)


def test_the_bridge_refuses_a_call_of_python():
    with pytest.raises(tf.errors.OpError, match="isn't compilable for TPU"):
        tpu_graph.bridge(traced(calls_python), cores=2)
