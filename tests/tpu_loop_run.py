"""A run as on a TPU of two cores, on virtual CPU devices; run by test_tpu_loop.py.

The number of devices is fixed once TensorFlow has started:
python tpu_loop_run.py DATA_DIR FOLDER, which leaves FOLDER/found.json
"""

import json
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.training import build, fused, loop, run_dir

CORES = 2
BLOCKS = "r1_k3_s22_e4_i8_o16_se0.25"  # one block, as tracing takes most of the time


class StandIn(tf.distribute.MirroredStrategy):
    """Two replicas that hold a run to what TPUStrategy demands of it."""

    def run(self, fn, args=(), kwargs=None, options=None):
        if tf.executing_eagerly():
            raise RuntimeError("a TPU runs nothing eagerly")
        for value in tf.nest.flatten([args, kwargs], expand_composites=True):
            if tf.is_tensor(value) and not value.shape.is_fully_defined():
                raise RuntimeError(f"a TPU's shapes are static, not {value.shape}")
        return super().run(fn, args=args, kwargs=kwargs, options=options)


def main(data_dir: str, folder: str) -> None:
    devices.make_strategy("cpu", num_cpu_devices=CORES)  # splits the CPU
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = StandIn(names)  # one: a second takes the first one's collectives for its
    found = {
        mode: run(data_dir, f"{folder}/{mode}", mode, strategy)
        for mode in ("auto", "off")
    }
    with open(f"{folder}/found.json", "w", encoding="utf-8") as file:
        json.dump(found, file)


def run(data_dir: str, model_dir: str, mode: str, strategy: StandIn) -> dict:
    """Trains 7 steps with `--fused` in a mode and evaluates, twice."""
    config = config_lib.create(
        dataset="digits",
        data_dir=data_dir,
        blocks=BLOCKS,
        fused=mode,
        train_epochs=0.34,
        steps_per_loop=7,
    )
    states, train_state = [], build.train_state

    def noted_state(*args, **kwargs):
        states.append(train_state(*args, **kwargs))
        return states[-1]

    with (
        mock.patch.object(devices, "kind", return_value="tpu"),
        mock.patch.object(build, "train_state", noted_state),
        mock.patch.object(fused, "forward", wraps=fused.forward) as forward,
    ):
        result = loop.train(config, model_dir=model_dir, strategy=strategy)
    model = states[0].model
    copies = [strategy.experimental_local_results(v.value) for v in model.weights]
    (train,) = (n for n in run_dir.read_metrics(model_dir) if n["kind"] == "train")
    return {
        "result": result,
        "fused": forward.call_count,
        "policy": model.get_layer("stem_conv").dtype_policy.name,
        "loss": train["loss"],
        "copies": [len(copy) for copy in copies],
        "apart": max(float(np.abs(a.numpy() - b.numpy()).max()) for a, b in copies),
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
