"""Measured latency: of the right network, on one core, every run counted."""

import os
import time

import keras
import numpy as np
import pytest
from slow_cases import slow

from efficientnet_tf.export import (
    formats,
    frozen_graph,
    latency,
    latency_process,
    runtimes,
)


def network(size=16, filters=4, name="tiny"):
    """A convolution, a batch norm with statistics of its own, and a head."""
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Conv2D(filters, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(
                moving_mean_initializer=keras.initializers.RandomNormal(0, 50, seed=1),
                moving_variance_initializer=keras.initializers.RandomUniform(
                    100, 1000, seed=1
                ),
            ),
            keras.layers.Activation("swish"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.9),
            keras.layers.Dense(5),
        ],
        name=name,
    )


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.mark.parametrize(
    ("runtime", "frozen"),
    [
        *[("saved_model", True), ("litert", True)],
        *slow(*[(runtime, True) for runtime in latency.RUNTIMES[2:]]),
        *slow(("saved_model", False)),
    ],
)
def test_the_measured_network_is_the_given_one(model, tmp_path, runtime, frozen):
    path = latency.save(model, str(tmp_path / "saved"), runtime=runtime, frozen=frozen)
    assert os.path.exists(path)
    with latency.Runner(path, runtime=runtime, shape=(1, 16, 16, 3)) as runner:
        (got,) = runner.outputs()
        assert runner.cores() == [max(os.sched_getaffinity(0))]
        start = time.perf_counter()
        seconds = [runner.run() for _ in range(3)]
        assert 0 < sum(seconds) < time.perf_counter() - start
    images = latency_process.example_image((1, 16, 16, 3))
    expected = model(images, training=False)
    tolerance = 0.02 if runtime == "openvino_bf16" else 1e-4
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    assert np.abs(got).max() > 0.01


def test_a_run_takes_as_long_as_its_prediction(monkeypatch):
    monkeypatch.setitem(
        runtimes.OPEN, "saved_model", lambda path: lambda images: time.sleep(0.05)
    )
    start = time.perf_counter()
    seconds = latency_process.Served("", "saved_model", (1, 2, 2, 3)).run()
    assert 0.05 <= seconds < time.perf_counter() - start


def test_models_take_turns_and_every_run_counts(model, monkeypatch):
    taken = []
    run = latency.Runner.run

    def recorded(runner):
        taken.append((os.path.basename(runner._path), run(runner)))
        return taken[-1][1]

    monkeypatch.setattr(latency.Runner, "run", recorded)
    larger = {"larger": lambda: network(32, 8), "small": model}
    got = latency.compare(larger, runtime="litert", rounds=4, warmup=1)
    assert [path for path, _ in taken] == ["model0.tflite", "model1.tflite"] * 5
    assert list(got) == ["larger", "small"]
    for number, each in enumerate(got.values()):
        after_warmup = [seconds for _, seconds in taken[2:]][number::2]
        assert each.runs == 4
        assert each.runtime == "litert"
        assert each.mean_s == pytest.approx(np.mean(after_warmup))
        assert each.min_s == min(after_warmup) > 0
        assert each.stddev_s == pytest.approx(np.std(after_warmup, ddof=1))


def test_one_model_alone(model, tmp_path):
    got = latency.measure(
        model, runtime="litert", runs=1, warmup=0, directory=str(tmp_path)
    )
    assert (got.runs, got.stddev_s, got.runtime) == (1, 0, "litert")
    assert got.min_s == got.mean_s > 0
    assert (tmp_path / "model0.tflite").stat().st_size > 4 * model.count_params()


def test_statistics_by_hand():
    got = latency.summarise([0.1, 0.3, 0.2], "litert")
    assert got.mean_s == pytest.approx(0.2)
    assert got.stddev_s == pytest.approx(0.1)
    assert (got.min_s, got.runs) == (0.1, 3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"runtime": "tflite"}, "runtime='tflite': allowed are saved_model, litert"),
        ({"runs": 0}, "rounds=0: allowed are whole numbers from 1"),
        ({"runs": 2.5}, r"rounds=2\.5: "),
        ({"warmup": -1}, "warmup=-1: allowed are whole numbers from 0"),
        ({"runtime": "litert", "frozen": False}, "frozen=False: litert freezes"),
    ],
)
def test_wrong_arguments_are_named(model, kwargs, message):
    with pytest.raises(ValueError, match=message):
        latency.measure(model, **kwargs)


def test_models_that_cannot_be_measured_are_named(model, monkeypatch):
    with pytest.raises(ValueError, match=r"models=\{\}: allowed is one"):
        latency.compare({})
    with pytest.raises(ValueError, match=r"model open: takes \(None, None, None, 3\)"):
        latency.compare({"mine": network(None, name="open")})
    # As AmoebaNet-B's 2.2 GB, without them.
    monkeypatch.setattr(frozen_graph, "GRAPH_BYTES", 4 * model.count_params())
    with pytest.raises(ValueError, match=r"model tiny: 596 bytes .* frozen=False"):
        latency.compare({"big": model})


def test_a_process_that_ends_says_why(tmp_path):
    runner = latency.Runner(
        str(tmp_path / "absent"), runtime="litert", shape=(1, 16, 16, 3)
    )
    with (
        runner,
        pytest.raises(ChildProcessError, match=r"absent ended with 1: .*absent"),
    ):
        runner.run()


def test_exported_formats_take_turns_in_groups(monkeypatch):
    class Idle:
        def __init__(self, path, *, runtime, shape):
            self.taken = (path, runtime, shape)

        def __enter__(self):
            open_now.append(self.taken)
            return self

        def __exit__(self, *_):
            open_now.remove(self.taken)

    def turns(runners, *, rounds, warmup):
        groups.append(list(open_now))
        return {name: [0.004, 0.002, 0.009] for name in runners}

    open_now, groups = [], []
    monkeypatch.setattr(latency, "Runner", Idle)
    monkeypatch.setattr(latency, "take_turns", turns)
    names = ("litert", "onnx", "openvino_bf16")
    chosen = [formats.FORMATS[name] for name in names]
    found = latency.of_export("out", chosen, 32, at_once=2)
    shape = (1, 32, 32, 3)
    assert groups == [
        [("out/model.tflite", "litert", shape), ("out/model.onnx", "onnx", shape)],
        [("out/model_bfloat16.xml", "openvino_bf16", shape)],
    ]
    assert found == dict.fromkeys(names, 4.0)


def test_a_run_follows_another_and_a_first_run_does_not(monkeypatch):
    slept = iter([0.2, 0.01, 0.1])
    monkeypatch.setitem(
        runtimes.OPEN, "litert", lambda path: lambda images: time.sleep(next(slept))
    )
    served = latency_process.Served("", "litert", (1, 2, 2, 3))
    assert 0.01 <= served.run() < 0.1 <= served.first_run()
