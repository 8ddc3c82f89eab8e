"""The whole run as on a TPU, under a stand-in for TPUStrategy that can run.

test_tpu_graph.py looks at what TPUStrategy itself traces, which no CPU can run.
"""

import json
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf
import tpu_loop_run

SCRIPT = pathlib.Path(tpu_loop_run.__file__)


@pytest.fixture(scope="module")
def found(digits_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tpu")
    subprocess.run(
        [sys.executable, SCRIPT, digits_dir, folder],
        check=True,
        cwd=SCRIPT.parents[1],
        env={"PYTHONPATH": str(SCRIPT.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_run_trains_and_evaluates_on_two_cores(found, mode):
    run = found[mode]
    assert run["fused"] == (mode == "auto")
    assert run["policy"] == "mixed_bfloat16"
    assert run["result"]["finished"]
    assert run["result"]["step"] == 7
    assert run["result"]["examples"] == 360
    assert set(run["copies"]) == {2}
    assert run["apart"] == 0


def test_the_fused_pass_trains_as_keras_layers_do(found):
    # bfloat16 holds 8 bits: one value is off by 2 ** -9 of itself at most.
    fused, plain = (found[mode]["loss"] for mode in ("auto", "off"))
    assert fused == pytest.approx(plain, rel=2**-9)


def rows(strategy, count):
    data = tf.data.Dataset.from_tensors(tf.ones([2])).repeat(count).batch(4)
    return iter(strategy.experimental_distribute_dataset(data))


def test_the_stand_in_runs_nothing_eagerly():
    strategy = tpu_loop_run.StandIn(["/cpu:0"])
    with pytest.raises(RuntimeError, match="nothing eagerly"):
        strategy.run(tf.identity, args=(tf.ones([2]),))


def test_the_stand_in_takes_static_shapes_alone():
    strategy = tpu_loop_run.StandIn(["/cpu:0"])

    @tf.function
    def step(iterator):
        return strategy.run(tf.reduce_sum, args=(next(iterator),))

    with pytest.raises(RuntimeError, match="static"):
        step(rows(strategy, 7))
