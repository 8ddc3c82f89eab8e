"""The whole run as on a TPU, under a stand-in for TPUStrategy that can run.

test_tpu_graph.py looks at what TPUStrategy itself traces, which no CPU can run.
"""

import functools
from unittest import mock

import numpy as np
import pytest
import replicas
import tensorflow as tf
from slow_cases import slow

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.runs import metrics
from efficientnet_tf.training import build, fused, loop

BLOCKS = "r1_k3_s22_e4_i8_o16_se0.25"  # one block, as tracing takes most of the time


@pytest.fixture(scope="module")
def found(digits_dir, tmp_path_factory):
    """What a run of 7 steps with `--fused` in a mode comes to."""
    folder = tmp_path_factory.mktemp("tpu")
    return functools.cache(lambda mode: run(digits_dir, f"{folder}/{mode}", mode))


def run(data_dir, model_dir, mode) -> dict:
    """Trains, and evaluates twice."""
    config = config_lib.create(
        dataset="digits",
        data_dir=data_dir,
        blocks=BLOCKS,
        fused=mode,
        train_epochs=0.34,
        steps_per_loop=7,
    )
    strategy = replicas.two()
    with (
        mock.patch.object(devices, "kind", return_value="tpu"),
        mock.patch.object(build, "train_state", wraps=build.train_state) as states,
        mock.patch.object(fused, "forward", wraps=fused.forward) as forward,
    ):
        result = loop.train(config, model_dir=model_dir, strategy=strategy)
    model = states.call_args.kwargs["model"]
    copies = [strategy.experimental_local_results(v.value) for v in model.weights]
    (train,) = (n for n in metrics.read(model_dir) if n["kind"] == "train")
    return {
        "result": result,
        "fused": forward.call_count,
        "policy": model.get_layer("stem_conv").dtype_policy.name,
        "loss": train["loss"],
        "copies": [len(copy) for copy in copies],
        "apart": max(float(np.abs(a.numpy() - b.numpy()).max()) for a, b in copies),
    }


@pytest.mark.parametrize("mode", ["off", *slow("on")])
def test_a_run_trains_and_evaluates_on_two_cores(found, mode):
    run = found(mode)
    assert run["fused"] == (mode == "on")
    assert run["policy"] == "mixed_bfloat16"
    assert run["result"]["finished"]
    assert run["result"]["step"] == 7
    assert run["result"]["examples"] == 360
    assert set(run["copies"]) == {2}
    assert run["apart"] == 0


@pytest.mark.slow
def test_the_fused_pass_trains_as_keras_layers_do(found):
    # bfloat16 holds 8 bits: one value is off by 2 ** -9 of itself at most.
    fused, plain = (found(mode)["loss"] for mode in ("on", "off"))
    assert fused == pytest.approx(plain, rel=2**-9)


def rows(strategy, count):
    data = tf.data.Dataset.from_tensors(tf.ones([2])).repeat(count).batch(4)
    return iter(strategy.experimental_distribute_dataset(data))


def test_the_stand_in_runs_nothing_eagerly():
    with pytest.raises(RuntimeError, match="nothing eagerly"):
        replicas.two().run(tf.identity, args=(tf.ones([2]),))


def test_the_stand_in_takes_static_shapes_alone():
    strategy = replicas.two()

    @tf.function
    def step(iterator):
        return strategy.run(tf.reduce_sum, args=(next(iterator),))

    with pytest.raises(RuntimeError, match="static"):
        step(rows(strategy, 7))
