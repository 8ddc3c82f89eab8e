"""Class activation maps against the logits they add up to, and pictures of them."""

import keras
import networks
import numpy as np
import pytest
import weight_helpers

import efficientnet_tf as en
from efficientnet_tf.inference import batch_sizes, cam

ONE = networks.own(networks.ONE)
VARIANTS = (
    "efficientnet-test",
    "efficientnet-condconv-b0-4e",
    "efficientnetv2-b0",
    "mobilenet-v1",
    "resnet-50",
)


NEAR = 1e-4  # float32 rounds sums of two by 1e-7; other maps differ by 0.1


KERNEL, BIAS = np.array([[1, 2, 0], [3, -1, 0.5]]), np.array([0, 10, -10])


def by_hand(activation=None, *, data_format="channels_last", after=()):
    """Pools its input itself, so its feature map is the image; 3 classes."""
    shape = (4, 6, 2) if data_format == "channels_last" else (2, 4, 6)
    inputs = x = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D(data_format=data_format, name="pool")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(3, activation, name="dense")(x)
    for layer in after:
        x = layer(x)
    model = keras.Model(inputs, x, name="by_hand")
    model.get_layer("dense").set_weights([KERNEL, BIAS])
    return model


def two_images():
    return np.random.default_rng(0).uniform(-1, 1, (2, 4, 6, 2)).astype("float32")


def assert_adds_up(found, model, images):
    """The maps' means plus the bias equal the logits of the whole model."""
    predictions = model.layers[-1]
    assert predictions.activation is keras.activations.linear
    logits = weight_helpers.outputs(model, images)
    expected = np.take_along_axis(logits, found.classes[:, None], 1)[:, 0]
    bias = np.asarray(predictions.bias)[found.classes]
    assert np.ptp(found.raw, axis=(1, 2)).min() > 1e-3
    np.testing.assert_allclose(found.raw.mean((1, 2)) + bias, expected, atol=1e-4)
    np.testing.assert_array_equal(found.raw.shape[0], len(images))


@pytest.mark.parametrize("name", VARIANTS)
def test_mean_and_bias_are_the_logit_in_every_family(name):
    model = weight_helpers.build(
        weight_helpers.small(name),
        input_shape=(80, 64, 3),
        classifier_activation=None,
    )
    images = np.random.default_rng(2).integers(0, 256, (2, 80, 64, 3), "uint8")
    weight_helpers.calibrate(model, images)
    top = cam.cam(model, images)
    logits = weight_helpers.outputs(model, images)
    np.testing.assert_array_equal(top.classes, logits.argmax(1))
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(top.scores, softmax.max(1), rtol=1e-4)
    assert_adds_up(top, model, images)
    assert_adds_up(cam.cam(model, images, [9, 3]), model, images)
    assert top.raw.shape == (2, 3, 2) and top.maps.shape == (2, 80, 64)
    assert top.raw.dtype == top.maps.dtype == top.scores.dtype == "float32"


def test_maps_of_a_network_known_by_heart():
    images = two_images()
    found = cam.cam(by_hand(), images, classes=[0, 1])
    expected = [images[0] @ [1.0, 3.0], images[1] @ [2.0, -1.0]]
    np.testing.assert_allclose(found.raw, expected, atol=NEAR)
    # The feature map has the image's size already.
    np.testing.assert_allclose(found.maps, expected, atol=NEAR)
    top = cam.cam(by_hand(), images)
    np.testing.assert_array_equal(top.classes, [1, 1])
    np.testing.assert_allclose(top.raw, images @ [2.0, -1.0], atol=NEAR)
    one_class = cam.cam(by_hand(), images, classes=2)
    np.testing.assert_array_equal(one_class.classes, [2, 2])
    np.testing.assert_allclose(one_class.raw, images[..., 1] / 2, atol=NEAR)


def test_channels_first():
    images = two_images()
    model = by_hand(data_format="channels_first")
    found = cam.cam(model, np.moveaxis(images, -1, 1), classes=0)
    assert found.maps.shape == (2, 4, 6)
    np.testing.assert_allclose(found.maps, images @ [1.0, 3.0], atol=NEAR)


@pytest.mark.parametrize(
    ("activation", "after", "score"),
    [
        (None, (), "softmax"),
        ("softmax", (), "softmax"),
        (None, ("softmax",), "softmax"),
        (None, ("linear",), "softmax"),
        ("sigmoid", (), "sigmoid"),
    ],
)
def test_scores_are_probabilities(activation, after, score):
    images = two_images()
    logits = images.mean((1, 2)) @ KERNEL + BIAS
    expected = {
        "softmax": np.exp(logits[:, 0]) / np.exp(logits).sum(1),
        "sigmoid": 1 / (1 + np.exp(-logits[:, 0])),
    }[score]
    model = by_hand(activation, after=[keras.layers.Activation(a) for a in after])
    found = cam.cam(model, images, classes=0)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4)


def test_upsampling_is_bilinear_about_pixel_centres():
    inputs = keras.Input((4, 8, 1))
    x = keras.layers.AveragePooling2D((4, 4))(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(x))
    image = np.zeros((1, 4, 8, 1), "float32")
    image[:, :, 4:] = 8
    found = cam.cam(model, image)
    np.testing.assert_allclose(found.raw, [[[0, 8]]])
    row = [0, 0, 1, 3, 5, 7, 8, 8]
    np.testing.assert_allclose(found.maps, [[row] * 4], atol=1e-6)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-4)), rtol=1e-5)


def test_more_images_than_a_batch_and_a_sequential_model(monkeypatch):
    # Sequential.add calls each layer anew, so their first calls are not the model's.
    model = keras.Sequential()
    for layer in (
        keras.Input((4, 6, 2)),
        keras.layers.Conv2D(5, 3),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ):
        model.add(layer)
    images = np.tile(two_images(), (3, 1, 1, 1)) * np.arange(1, 7).reshape(6, 1, 1, 1)
    whole = cam.cam(model, images)
    monkeypatch.setattr(batch_sizes, "MOST", 4)
    assert_adds_up(cam.cam(model, images), model, images)
    np.testing.assert_allclose(cam.cam(model, images).raw, whole.raw, atol=1e-6)


class Counting(keras.layers.Layer):
    """Notes how many images each call has."""

    def build(self, shape):
        self.counts = []

    def call(self, images):
        self.counts.append(images.shape[0])
        return images


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("width", "most"), [(300, 32), (302, 31), (1200, 8)])
def test_fewer_large_images_are_mapped_at_once(data_format, width, most):
    is_first = data_format == "channels_first"
    inputs = keras.Input((2, 300, width) if is_first else (300, width, 2))
    counting = Counting()
    x = keras.layers.GlobalAveragePooling2D(data_format)(counting(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    counting.counts.clear()
    found = cam.cam(model, np.zeros([most + 1, *inputs.shape[1:]], "uint8"))
    assert counting.counts == [most, 1]
    assert found.maps.shape == (most + 1, 300, width)


def test_a_model_of_keras_applications():
    kwargs = {"weights": None, "input_shape": (64, 64, 3), "classes": 7, "alpha": 0.35}
    model = keras.applications.MobileNetV2(**kwargs, classifier_activation=None)
    images = np.random.default_rng(4).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    weight_helpers.randomize(model, seed=0)
    assert_adds_up(cam.cam(model, images), model, images)


def test_a_model_loaded_from_a_file_maps_the_same(tmp_path):
    model = weight_helpers.build(ONE, input_shape=(80, 80, 3))
    model.save(tmp_path / "model.keras")
    images = weight_helpers.images(size=80)
    expected = cam.cam(model, images)
    assert expected.raw.shape == (2, 20, 20)
    found = cam.cam(keras.models.load_model(tmp_path / "model.keras"), images)
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-6)
    outputs = weight_helpers.outputs(model, images)
    np.testing.assert_allclose(found.scores, outputs.max(1), rtol=1e-5)


def headless():
    return en.EfficientNet(ONE, include_top=False, pooling="avg")


def flattened():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Dense(2, name="out")(keras.layers.Flatten(name="flat")(inputs))
    return keras.Model(inputs, x, name="flattened")


def two_dense():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(inputs)
    for name in ("hidden", "out"):
        x = keras.layers.Dense(2, name=name)(x)
    return keras.Model(inputs, x, name="two_dense")


def subclassed():
    class Own(keras.Model):
        pass

    return Own(name="own")


@pytest.mark.parametrize(
    ("make", "name", "found"),
    [
        (headless, "own", r"GlobalAveragePooling2D avg_pool$"),
        (flattened, "flattened", r"Flatten flat, Dense out$"),
        (two_dense, "two_dense", r"Dense hidden, Dense out$"),
        (subclassed, "own", r"found Own of 0 and 0$"),
    ],
)
def test_another_end_is_named(make, name, found):
    with pytest.raises(ValueError, match=rf"^model={name}: allowed is .*{found}"):
        cam.cam(make(), np.zeros((1, 4, 4, 1)))


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [
        (
            np.zeros((4, 6, 2)),
            None,
            r"images of shape \(4, 6, 2\): allowed is",
        ),
        (np.zeros((1, 4, 5, 2)), None, r"images of shape \(1, 4, 5, 2\): allowed is"),
        (np.zeros((0, 4, 6, 2)), None, r"images of shape \(0, 4, 6, 2\): allowed is"),
        (two_images(), 3, "classes=3: allowed are 0 to 2"),
        (two_images(), [0, -1], r"classes=\[0, -1\]: allowed are 0 to 2"),
        (two_images(), 0.5, "classes=0.5: allowed are 0 to 2"),
        (two_images(), [0], r"classes=\[0\]: allowed is one, or one for each image"),
        (two_images(), [], r"classes=\[\]: allowed is one, or one for each image"),
    ],
)
def test_wrong_images_and_classes_are_named(images, classes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        cam.cam(by_hand(), images, classes)
