"""Layers of one's own behind a network."""

import keras
import pytest
import weight_helpers as helpers
from headless import ONE, SUFFIXES, headless, save
from weight_helpers import assert_same, build, values
from weights_support import TEST, refuses

import efficientnet_tf as en
from efficientnet_tf.weights import passport as passports


def flat(head):
    """What users of transfer learning build."""
    backbone = headless()
    return keras.Model(backbone.input, head(backbone.output))


def my_head():
    return keras.layers.Dense(5, name="my_head")


@pytest.fixture(scope="module")
def pair():
    """Two models of one kind."""
    return flat(my_head()), flat(my_head())


@pytest.mark.parametrize("format", ["efficientnet_tf", "keras", "keras-h5"])
def test_a_head_of_ones_own_is_saved_and_loaded(format, pair, target, tmp_path):
    source, other = pair
    source.passport = passports.Passport(None, class_names=("one", "two"))
    path = str(tmp_path / ("w.h5" if format == "keras-h5" else "w.weights.h5"))
    en.save_weights(source, path, format=format.removesuffix("-h5"))
    expected = values(source)
    helpers.randomize(other)
    en.load_weights(other, path)
    assert_same(other, expected)
    assert other.load_report.loaded == len(expected)

    refuses(target, path, r"my_head/kernel \(128, 5\): the model has no place", "my_he")
    en.load_weights(target, path, skip=["my_head"])
    head = {"my_head/kernel", "my_head/bias"}
    assert_same(target, {p: v for p, v in expected.items() if p not in head})
    assert set(target.load_report.unused) == head
    assert target.load_report.skipped == ()

    before = values(helpers.randomize(other))
    en.load_weights(other, path, skip=["my_head"])
    assert_same(other, expected | {name: before[name] for name in head})
    assert set(other.load_report.skipped) == head


def deep_head():
    layers = [keras.layers.Dense(7, name="one"), keras.layers.Dense(5, name="two")]
    return keras.Sequential(layers, name="my_head")


@pytest.fixture(scope="module", params=[my_head, deep_head])
def source(request):
    return flat(request.param())


@pytest.mark.parametrize("name", SUFFIXES)
def test_what_keras_saves_of_it_is_loaded(name, source, target, tmp_path):
    path = save(source, tmp_path / name)
    expected = values(source)
    helpers.randomize(source)
    en.load_weights(source, path)
    assert_same(source, expected)
    en.load_weights(target, path, skip=["my_head"])
    assert_same(target, {p: v for p, v in expected.items() if "my_head" not in p})


def test_weights_of_a_network_are_loaded_before_a_head(pair, tmp_path):
    source = build(TEST, blocks=ONE)
    path = str(tmp_path / "w.safetensors")
    en.save_weights(source, path)
    model = pair[0]
    before, expected = values(model), values(source)
    with pytest.raises(ValueError, match=r'skip=\["classifier", "my_head"\]'):
        en.load_weights(model, path)
    for skip in (["predictions", "my_head"], ["classifier", "my_head"]):
        helpers.randomize(model)
        left = values(model)
        en.load_weights(model, path, skip=skip)
        assert_same(model, {p: (left if "my_" in p else expected)[p] for p in before})


@pytest.mark.parametrize("format", ["timm", "tf1"])
def test_formats_without_a_name_for_a_layer_refuse_it(format, pair, tmp_path):
    path = str(tmp_path / ("w.safetensors" if format == "timm" else "w.ckpt"))
    with pytest.raises(ValueError, match=f"{format}.* no name for layer 'my_head'"):
        en.save_weights(pair[0], path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["efficientnet_tf", "keras"])
def test_variables_of_any_name_are_saved(format, tmp_path):
    """Keras 3 only numbers them."""

    def head(x):
        x = keras.layers.LayerNormalization(name="norm")(x)
        x = keras.layers.BatchNormalization(name="my_bn", scale=False)(x)
        return keras.layers.PReLU(name="slope")(x)

    source = flat(head)
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path, format=format)
    expected = values(source)
    helpers.randomize(source)
    en.load_weights(source, path)
    assert_same(source, expected)


def test_layers_whose_variables_have_one_name_are_refused(tmp_path):
    def head(x):
        x = keras.layers.Reshape((4, 32))(x)
        return keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)

    with pytest.raises(ValueError, match="'attention' has several variables of one"):
        en.save_weights(flat(head), str(tmp_path / "w.weights.h5"))


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5"])
def test_a_head_that_is_a_model_is_saved_and_loaded(name, target, tmp_path):
    source = flat(deep_head())
    path = str(tmp_path / name)
    en.save_weights(source, path)
    expected = values(source)
    assert source.get_layer("my_head").get_weights()[2].shape == (7, 5)
    assert len([path for path in expected if path.startswith("my_head/")]) == 4
    helpers.randomize(source)
    en.load_weights(source, path)
    assert_same(source, expected)
    en.load_weights(target, path, skip=["my_head"])
    assert_same(target, {p: v for p, v in expected.items() if "my_head" not in p})
