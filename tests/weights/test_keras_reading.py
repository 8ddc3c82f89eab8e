"""Files that keras.applications and Keras wrote."""

import functools
import itertools

import h5py
import keras
import numpy as np
import pytest
import weight_helpers as helpers
from applications import assert_same_function, prepared
from keras.src.utils import file_utils
from keras_files_support import (
    SIZE,
    WHOLE,
    ours_of,
    read,
    theirs,
)
from slow_cases import all_but, slow, unless
from weight_helpers import assert_same, images

import efficientnet_tf as en

pytestmark = pytest.mark.usefixtures("float64")

MEAN = np.array([0.485, 0.456, 0.406])


STDDEV = np.array([0.229, 0.224, 0.225])


OTHER_MEAN, OTHER_VARIANCE = np.array([0.3, 0.4, 0.6]), np.array([0.04, 0.09, 0.16])


# By default each kind of file, and each network but the one without a layer of its own.
THEY_WRITE = (
    ("efficientnet-b0", "w.keras"),
    ("efficientnetv2-b0", "legacy.h5"),
    ("mobilenet-v1", "w.h5"),
    ("mobilenet-v1", "w.weights.h5"),
    ("resnet-50-v1", "legacy.h5"),
)


@functools.cache
def random_theirs(name):
    """With random weights everywhere: ResNet's biases before batch norms too."""
    model = helpers.randomize(theirs(name), seed=2)
    if name == "efficientnet-b0":
        set_statistics(model, MEAN, STDDEV**2)
    return helpers.calibrate(model, preprocessed(name, batch=4))


@functools.cache
def _clone():
    model = theirs("efficientnet-b0")
    model.set_weights(random_theirs("efficientnet-b0").get_weights())
    return model


def with_statistics(mean, variance):
    """A clone of the random network with other statistics, for one test at a time."""
    set_statistics(_clone(), mean, variance)
    return _clone()


def set_statistics(model, mean, variance):
    (layer,) = [x for x in model.layers if isinstance(x, keras.layers.Normalization)]
    layer.set_weights([mean, variance, np.array(0)])
    layer.finalize_state()


def preprocessed(name, **kwargs):
    return prepared(name, images(SIZE, **kwargs))


def write_legacy(model, path, rename=None):
    """Writes the weights-only file that tf.keras wrote, as the released ones are."""
    rename = rename or {}
    with h5py.File(path, "w") as file:
        names = [rename.get(layer.name, layer.name) for layer in model.layers]
        file.attrs["layer_names"] = [name.encode() for name in names]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.4.0"
        for layer, name in zip(model.layers, names, strict=True):
            group = file.create_group(name)
            written = []
            for weight in layer.weights:
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                kernel = depthwise and weight.name == "kernel"
                variable = "depthwise_kernel" if kernel else weight.name
                written.append(f"{name}/{variable}:0".encode())
                group[written[-1].decode()] = np.array(weight)
            group.attrs["weight_names"] = written
    return path


def write(model, path):
    """Writes a file as users of keras.applications do; returns its path."""
    path = str(path)
    if path.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.endswith("legacy.h5"):
        write_legacy(model, path)
    else:
        model.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "file"),
    all_but(
        THEY_WRITE,
        itertools.product(WHOLE, ("legacy.h5", "w.h5", "w.keras", "w.weights.h5")),
    ),
)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_we_read_what_keras_applications_writes(name, file, tmp_path):
    model = random_theirs(name)
    ours = read(name, write(model, tmp_path / file))
    assert_same_function(name, ours, model, images(SIZE))
    # A bias before a batch norm goes into the mean: 20 of the smaller ResNet.
    biases = [n for n in ours.load_report.adapted if "bias" in n]
    assert len(biases) == (20 if name.startswith("resnet") else 0)


@pytest.mark.parametrize(
    ("file", "statistics"),
    [
        pytest.param(file, statistics, id=f"{file}-{name}", marks=unless(default))
        for file, default in (("w.weights.h5", "other"), ("legacy.h5", "untouched"))
        for name, statistics, default in (
            ("imagenet", (MEAN, STDDEV**2), True),
            ("other", (OTHER_MEAN, OTHER_VARIANCE), default == "other"),
            ("untouched", (np.zeros(3), np.ones(3)), default == "untouched"),
        )
    ],
)
def test_statistics_of_a_normalization_layer_are_built(file, statistics, tmp_path):
    model = with_statistics(*statistics)
    ours = read("efficientnet-b0", write(model, tmp_path / file))
    assert_same_function("efficientnet-b0", ours, model, images(SIZE))


def test_released_files_hold_the_standard_deviation(tmp_path, monkeypatch):
    path = str(tmp_path / "efficientnetb0_notop.h5")
    kwargs = {"include_top": False, "input_shape": (SIZE, SIZE, 3)}
    headless = keras.applications.EfficientNetB0(weights=None, **kwargs)
    helpers.randomize(headless, seed=2)
    set_statistics(headless, MEAN, STDDEV**2)
    helpers.calibrate(headless, images(SIZE, batch=4))
    set_statistics(headless, MEAN, STDDEV)
    write_legacy(headless, path)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: path)
    # What keras.applications makes of its release.
    model = keras.applications.EfficientNetB0(pooling="avg", **kwargs)
    ours = en.EfficientNet("efficientnet-b0", weights=path, pooling="avg", **kwargs)
    assert_same_function("efficientnet-b0", ours, model, images(SIZE))
    preprocessing = ours.get_layer("preprocessing")
    np.testing.assert_allclose(preprocessing.scale, 1 / STDDEV / 255, rtol=1e-4)


def test_statistics_of_one_channel_are_built(tmp_path):
    model = theirs("efficientnet-b0", input_shape=(SIZE, SIZE, 1))
    helpers.randomize(model, seed=0)
    set_statistics(model, np.array([0.4]), np.array([0.05]))
    helpers.calibrate(model, images(SIZE, channels=1, batch=4))
    path = write(model, tmp_path / "w.weights.h5")
    ours = read("efficientnet-b0", path, input_shape=(SIZE, SIZE, 1))
    assert_same_function("efficientnet-b0", ours, model, images(SIZE, channels=1))


def test_the_second_network_of_a_process_is_read(tmp_path):
    """Keras numbers its normalization layer, which has no name of its own."""
    keras.layers.Normalization()
    model = theirs("efficientnet-b0")
    model.set_weights(random_theirs("efficientnet-b0").get_weights())
    set_statistics(model, OTHER_MEAN, OTHER_VARIANCE)
    assert any(layer.name.startswith("normalization_") for layer in model.layers)
    for file in ("w.weights.h5", "legacy.h5"):
        ours = read("efficientnet-b0", write(model, tmp_path / file))
        assert_same_function("efficientnet-b0", ours, model, images(SIZE))


def test_untouched_statistics_do_not_fit_a_model_that_is_built(tmp_path):
    path = write(theirs("efficientnet-b0"), tmp_path / "w.weights.h5")
    ours = ours_of("efficientnet-b0")
    before = helpers.values(ours)
    with pytest.raises(ValueError, match=r"needs pixels=.*builds it as the weights"):
        en.load_weights(ours, path)
    assert_same(ours, before)


def test_v1_5_does_not_take_the_weights_of_v1(tmp_path):
    model = random_theirs("resnet-50-v1")
    path = write(model, tmp_path / "legacy.h5")
    with pytest.raises(ValueError, match="needs blocks="):
        en.load_weights(ours_of("resnet-50"), path)
    built = read("resnet-50", path)
    assert_same_function("resnet-50-v1", built, model, images(SIZE))


def test_a_bias_without_its_mean_is_a_missing_tensor(tmp_path):
    model = random_theirs("resnet-50-v1")
    path = write(model, tmp_path / "legacy.h5")
    with h5py.File(path, "a") as file:
        group = file["conv1_bn"]
        names = [n for n in group.attrs["weight_names"] if "moving_mean" not in str(n)]
        group.attrs["weight_names"] = names
    with pytest.raises(ValueError, match="the file has no conv1_bn/moving_mean"):
        read("resnet-50-v1", path)


def test_a_bias_of_another_shape_is_named(tmp_path):
    path = write(random_theirs("resnet-50-v1"), tmp_path / "legacy.h5")
    with h5py.File(path, "a") as file:
        del file["conv1_conv/conv1_conv/bias:0"]
        file["conv1_conv/conv1_conv/bias:0"] = np.zeros(1)
    with pytest.raises(ValueError, match="conv1_conv/bias"):
        read("resnet-50-v1", path)


def test_qubvels_files_are_read(tmp_path):
    """Classifier "probs", no normalization layer: its users normalise themselves."""
    model = random_theirs("efficientnet-b0")
    path = str(tmp_path / "w.h5")
    write_legacy(model, path, rename={"predictions": "probs"})
    with h5py.File(path, "a") as file:
        for name in [n for n in file if n.startswith("normalization")]:
            del file[name]
    ours = read("efficientnet-b0", path)
    assert_same_function("efficientnet-b0", ours, model, images(SIZE))
    assert ours.load_report.unused == ()


@pytest.mark.parametrize(
    ("name", "include_top"),
    [
        ("mobilenet-v1", False),
        ("efficientnet-b0", True),
        *slow(("mobilenet-v1", True), ("efficientnet-b0", False)),
    ],
)
def test_networks_without_a_top_read_files_with_and_without(
    name, include_top, tmp_path
):
    kwargs = {"include_top": False, "input_shape": (SIZE, SIZE, 3)}
    source = helpers.randomize(theirs(name, include_top=include_top), seed=3)
    if name == "efficientnet-b0":
        set_statistics(source, MEAN, STDDEV**2)
    helpers.calibrate(source, preprocessed(name, batch=4))
    path = write(source, tmp_path / "w.weights.h5")
    expected = theirs(name, **kwargs)
    by_name = {layer.name: layer for layer in source.layers}
    for layer in expected.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            layer.set_weights(by_name[layer.name].get_weights())
    if name == "efficientnet-b0":
        set_statistics(expected, MEAN, STDDEV**2)
    ours = read(name, path, **kwargs)
    assert_same_function(name, ours, expected, images(SIZE))
    top = {n for n in ours.load_report.unused if "normalization" not in n}
    assert len(top) == (2 if include_top else 0)


def test_half_precision_files_are_read(tmp_path):
    """Keras writes bfloat16 as raw bytes and says so in an attribute."""
    keras.config.set_dtype_policy("bfloat16")
    source = helpers.randomize(en.EfficientNet("efficientnet-test", classes=10))
    keras.config.set_dtype_policy("float32")
    path = str(tmp_path / "w.weights.h5")
    source.save_weights(path)
    ours = en.EfficientNet("efficientnet-test", classes=10, weights=path)
    expected = {p: v.astype("float32") for p, v in helpers.values(source).items()}
    assert_same(ours, expected)


def test_a_file_that_names_no_layers_says_so(tmp_path):
    """As Keras before 3.6 wrote them."""
    path = write(en.EfficientNet("efficientnet-test"), tmp_path / "w.weights.h5")
    with h5py.File(path, "a") as file:
        del file["layers/batch_normalization/vars"].attrs["name"]
    with pytest.raises(ValueError, match=r"does not say which layer .* Keras 3\.6"):
        en.EfficientNet("efficientnet-test", weights=path)
