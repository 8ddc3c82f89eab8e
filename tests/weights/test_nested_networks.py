"""Networks inside larger Keras models."""

import io
import json
import re

import h5py
import keras
import numpy as np
import pytest
import weight_helpers as helpers
from headless import ONE, SUFFIXES, headless, save
from weight_helpers import assert_same, build, values
from weights_support import TEST, refuses
from zip_files import read_zip, write_zip

import efficientnet_tf as en
from efficientnet_tf.weights import keras_files, keras_groups


@pytest.fixture(scope="module")
def backbone():
    return headless()


def sequential(backbone):
    """The head is the layer "dense" or of a later number."""
    layers = [backbone, keras.layers.Dropout(0.1), keras.layers.Dense(5)]
    return built(keras.Sequential(layers))


def functional(backbone):
    image = keras.Input((32, 32, 3))
    x = keras.layers.Dense(7, name="hidden")(backbone(image))
    return keras.Model(image, keras.layers.Dense(5, name="my_head")(x))


def deep(backbone):
    inner = keras.Sequential([backbone], name="inner")
    head = [keras.layers.Dense(7), keras.layers.Dense(5)]
    return built(keras.Sequential([inner, keras.Sequential(head, name="head")]))


class Subclassed(keras.Model):
    def __init__(self, backbone):
        super().__init__()
        self.features = backbone
        self.my_head = keras.layers.Dense(5, name="my_head")

    def call(self, image):
        return self.my_head(self.features(image))


def built(model):
    model.build((None, 32, 32, 3))
    return helpers.randomize(model) if isinstance(model, keras.Sequential) else model


def heads(model):
    """The names of the outer layers with weights that are no backbone."""
    names = [layer.name for layer in model.layers if layer.weights]
    return [name for name in names if name not in ("inner", "efficientnettest")]


@pytest.mark.parametrize("outer", [sequential, functional, deep])
@pytest.mark.parametrize("name", SUFFIXES)
def test_a_nested_network_is_loaded_without_its_head(
    name, outer, backbone, target, tmp_path
):
    model = outer(backbone)
    path = save(model, tmp_path / name)
    skip = heads(model)
    hint = ", ".join(f'"{one}"' for one in sorted(skip))
    refuses(target, path, re.escape(f"skip=[{hint}]), --weights_skip="))
    en.load_weights(target, path, skip=skip)
    assert_same(target, values(backbone))
    (note,) = target.load_report.notes
    assert "efficientnettest/" in note or name == "w.h5"
    assert "names" in note
    assert len(target.load_report.unused) == (2 if outer is sequential else 4)


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_classifier_behind_a_nested_network_is_its_classifier(
    name, backbone, tmp_path
):
    model = built(
        keras.Sequential([backbone, keras.layers.Dense(5, name="predictions")])
    )
    whole = build(TEST, blocks=ONE, classes=5)
    en.load_weights(whole, save(model, tmp_path / name))
    kernel, bias = model.layers[-1].get_weights()
    head = {"predictions/kernel": kernel, "predictions/bias": bias}
    assert_same(whole, values(backbone) | head)


def test_a_network_of_a_subclass_is_loaded(backbone, target, tmp_path):
    model = Subclassed(backbone)
    model(np.zeros((1, 32, 32, 3), "float32"))
    path = save(model, tmp_path / "w.weights.h5")
    en.load_weights(target, path, skip=["my_head"])
    assert_same(target, values(backbone))
    assert "dropped features/" in target.load_report.notes[0]


def test_what_normalises_images_before_a_nested_network_is_said(backbone, tmp_path):
    layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(255, name="scale")]
    path = save(keras.Sequential([*layers, backbone]), tmp_path / "w.keras")
    assert [n for n in keras_files.open_file(path).notes if "left out scale" in n]
    path = save(keras.Sequential([layers[0], backbone]), tmp_path / "w.keras")
    assert not [n for n in keras_files.open_file(path).notes if "left out" in n]


def without_names(path):
    """A file as Keras before 3.6 wrote it: only the config names the layers."""
    entries = read_zip(path)
    content = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(content, "a") as file:
        found = []
        file.visit(found.append)
        for name in found:
            file[name].attrs.pop("name", None)
    entries["model.weights.h5"] = content.getvalue()
    write_zip(path, entries)
    return path


@pytest.mark.parametrize("outer", [sequential, deep])
def test_the_config_names_the_layers_of_older_files(outer, backbone, target, tmp_path):
    model = outer(backbone)
    path = without_names(save(model, tmp_path / "w.keras"))
    en.load_weights(target, path, skip=heads(model))
    assert_same(target, values(backbone))
    inner = tmp_path / "w.weights.h5"
    inner.write_bytes(read_zip(path)["model.weights.h5"])
    which = r"does not say which layer (dense|inner/|sequential/)"
    refuses(target, str(inner), which, r"by its own load_weights")


@pytest.mark.parametrize(
    "config", [b"", b"{", b"[]", b"{}", b"[" * 100_000, b'{"config": {"layers": [3]}}']
)
def test_a_damaged_config_is_one_line(config, backbone, target, tmp_path):
    path = save(sequential(backbone), tmp_path / "w.keras")
    write_zip(path, read_zip(path) | {"config.json": config})
    assert "\n" not in refuses(target, path, re.escape(path))


def test_a_legacy_file_of_a_large_nested_network_is_read(backbone, target, tmp_path):
    """tf.keras divides the list of a layer's names into attributes of 64 KB."""
    path = str(tmp_path / "w.h5")
    expected = values(backbone)
    with h5py.File(path, "w") as file:
        group = file.create_group("backbone")
        names = {
            name.replace("dwconv/kernel", "dwconv/depthwise_kernel") + ":0": value
            for name, value in expected.items()
        }
        for name, value in names.items():
            group[name] = value
        parts = [list(names)[:5], list(names)[5:]]
        for number, part in enumerate(parts):
            group.attrs[f"weight_names{number}"] = [name.encode() for name in part]
        head = file.create_group("dense_3")
        head.attrs["weight_names"] = [b"dense_3/kernel:0"]
        head["dense_3/kernel:0"] = np.zeros((3, 2))
    en.load_weights(target, path, skip=["dense_3"])
    assert_same(target, expected)


def test_two_networks_in_one_file_are_named(backbone, target, tmp_path):
    other = keras.models.clone_model(backbone)
    other.name = "other"
    image = keras.Input((32, 32, 3))
    both = keras.layers.Concatenate()([backbone(image), other(image)])
    path = save(keras.Model(image, both), tmp_path / "w.keras")
    refuses(target, path, r"several networks \(efficientnettest, other\)")


def test_a_model_around_a_network_is_told_to_pass_the_network(backbone, tmp_path):
    for outer in (sequential(backbone), functional(backbone)):
        path = str(tmp_path / "w.weights.h5")
        with pytest.raises(ValueError, match=r"get_layer\('efficientnettest'\)"):
            en.save_weights(outer, path)
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="is not efficientnet_tf's"):
        en.save_weights(other, path)


def test_a_config_counts_layers_of_one_class():
    """The rule of Keras's own names, from its files."""
    classes = ("Conv2D", "DepthwiseConv2D", "Conv2D", "BatchNormalization", "MyBNLayer")
    layers = [{"class_name": name, "config": {"name": name}} for name in classes]
    config = json.loads(json.dumps({"layers": layers}))
    assert list(keras_groups._by_group(config)) == [
        *("conv2d", "depthwise_conv2d", "conv2d_1", "batch_normalization"),
        "my_bn_layer",
    ]
