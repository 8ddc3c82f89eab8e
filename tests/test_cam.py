"""Class activation maps against the logits they add up to, and pictures of them."""

import json
import os

import keras
import matplotlib
import numpy as np
import pytest
import weight_helpers
from absl.testing import flagsaver
from PIL import Image

import efficientnet_tf as en
import main
from efficientnet_tf.analysis import cam
from efficientnet_tf.export import predict

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
    """The maps' means and the bias are the logits, computed by the whole model."""
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
    monkeypatch.setattr(cam, "_BATCH", 4)
    assert_adds_up(cam.cam(model, images), model, images)
    np.testing.assert_allclose(cam.cam(model, images).raw, whole.raw, atol=1e-6)


def test_a_model_of_keras_applications():
    kwargs = {"weights": None, "input_shape": (64, 64, 3), "classes": 7, "alpha": 0.35}
    model = keras.applications.MobileNetV2(**kwargs, classifier_activation=None)
    images = np.random.default_rng(4).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    weight_helpers.randomize(model, seed=0)
    assert_adds_up(cam.cam(model, images), model, images)


def test_a_model_loaded_from_a_file_maps_the_same(tmp_path):
    model = weight_helpers.build("efficientnet-test", input_shape=(80, 80, 3))
    model.save(tmp_path / "model.keras")
    images = weight_helpers.images(size=80)
    expected = cam.cam(model, images)
    assert expected.raw.shape == (2, 3, 3)
    found = cam.cam(keras.models.load_model(tmp_path / "model.keras"), images)
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-6)
    outputs = weight_helpers.outputs(model, images)
    np.testing.assert_allclose(found.scores, outputs.max(1), rtol=1e-5)


def headless():
    return en.EfficientNet("efficientnet-test", include_top=False, pooling="avg")


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
        (headless, "efficientnettest", r"GlobalAveragePooling2D avg_pool$"),
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


def test_normalizing_keeps_negative_evidence_as_the_low_end():
    np.testing.assert_allclose(cam.normalize([[-3.0, 0.0, 1.0]]), [[0, 0.75, 1]])
    np.testing.assert_array_equal(cam.normalize([[-5.0, -5.0]]), [[0, 0]])


def test_overlay_mixes_the_colour_map_in():
    image = np.full((1, 3, 3), 100, "uint8")
    evidence = np.array([[-1.0, 0.0, 1.0]])
    colours = matplotlib.colormaps["turbo"]([0.0, 0.5, 1.0])[None, :, :3] * 255
    for alpha in (0, 0.25, 1):
        expected = 100 * (1 - alpha) + alpha * colours
        found = cam.overlay(image, evidence, alpha)
        assert found.dtype == "uint8"
        # Rounding to whole levels is a half.
        np.testing.assert_allclose(found, expected, atol=0.51)
    with pytest.raises(ValueError, match=r"^alpha=2: allowed is 0 to 1"):
        cam.overlay(image, evidence, 2)
    with pytest.raises(ValueError, match=r"^image of shape \(1, 3, 3\): allowed is"):
        cam.overlay(image, evidence.T)


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def plain(size, *colour):
    return np.full((size, size, 3), colour, "uint8")


def test_a_grid_shows_each_picture_in_its_place(tmp_path):
    rows = [[plain(8, 255, 0, 0), plain(40, 0, 255, 0)], [plain(8, 0, 0, 255)] * 2]
    path = tmp_path / "grid.png"
    path.write_text("an old one")
    titles, labels = ["photo", "B0 $x_"], ["one", "a very long name " * 4]
    cam.save_grid(str(path), rows, titles=titles, labels=labels)
    assert os.listdir(tmp_path) == ["grid.png"]
    pixels = pixels_of(path)
    assert pixels.shape == (600, 600, 3)
    np.testing.assert_array_equal(pixels[200, 200], [255, 0, 0])
    np.testing.assert_array_equal(pixels[200, 440], [0, 255, 0])
    np.testing.assert_array_equal(pixels[440, 200], [0, 0, 255])
    bare = tmp_path / "bare.png"
    cam.save_grid(str(bare), rows)
    assert (pixels_of(bare).max(-1) < 128).sum() == 0
    assert (pixels.max(-1) < 128).sum() > 100  # letters


def test_a_grid_keeps_the_pixels_of_large_pictures(tmp_path):
    path = tmp_path / "grid.png"
    cam.save_grid(str(path), [[plain(600, 1, 2, 3)]])
    assert pixels_of(path).shape == (600, 600, 3)


@pytest.mark.parametrize(
    ("rows", "kwargs", "message"),
    [
        ([], {}, r"rows of \[\] pictures"),
        ([[1], [1, 2]], {}, r"rows of \[1, 2\] pictures: allowed are rows of one "),
        ([[1]], {"titles": ["a", "b"]}, "titles=.*: allowed are 1, one a column"),
        ([[1]], {"labels": []}, "labels=.*: allowed are 1, one a row"),
    ],
)
def test_a_grid_of_other_numbers_is_refused(tmp_path, rows, kwargs, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        cam.save_grid(str(tmp_path / "grid.png"), rows, **kwargs)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "grid.png"
    with pytest.raises(ValueError, match=rf"^{path} cannot be written \("):
        cam.save_grid(str(path), [[plain(8, 1, 2, 3)]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of small weights for 5 classes, its model, and two photos of one name."""
    folder = tmp_path_factory.mktemp("weights")
    model = weight_helpers.build(
        "efficientnet-test", classes=5, input_shape=(96, 96, 3)
    )
    en.save_weights(model, folder / "own.weights.h5")
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        (folder / name).mkdir()
        pixels = rng.integers(0, 256, (140, 120, 3), "uint8")
        Image.fromarray(pixels).save(folder / name / "photo.png")
    return folder, model


@pytest.fixture
def command(weights, capsys):
    """Runs main.py in this process; returns what it printed, or its error."""

    def run(*arguments):
        source = f"--weights={weights[0] / 'own.weights.h5'}"
        with flagsaver.flagsaver():
            argv = main.parse(["main.py", source, "--json", *map(str, arguments)])
            try:
                main.main(argv)
            except SystemExit as stopped:
                return stopped.code
        return capsys.readouterr().out

    return run


def test_command_line_draws_what_predict_sees(command, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, model = weights
    photos = [folder / "a/photo.png", folder / "b/photo.png"]
    mapped = command("--mode=cam", *photos)
    told = json.loads(mapped.splitlines()[-1])
    predicted = json.loads(command("--mode=predict", *photos).splitlines()[-1])
    for ours, theirs in zip(told["results"], predicted["results"], strict=True):
        best = theirs["predictions"][0]
        assert ours["file"] == theirs["file"] and ours["class"] == best["class"]
        assert ours["probability"] == pytest.approx(best["probability"], rel=1e-4)
        assert ours["path"] in mapped
    names = ["grid.png", "photo-2.cam.png", "photo.cam.png"]
    assert sorted(os.listdir(tmp_path / "cam")) == names
    assert [r["path"] for r in told["results"]] == [f"cam/{n}" for n in names[:0:-1]]
    assert pixels_of(told["grid"]).shape == (600, 600, 3)
    size = {"image_size": 96, "fraction": 96 / (96 + 32)}
    crop = predict.read_image(str(photos[0]), **size).numpy()
    expected = cam.overlay(crop, cam.cam(model, crop[None]).maps[0]).astype(int)
    drawn = pixels_of("cam/photo.cam.png").astype(int)
    # Maps of two batches differ by rounding, and the colours have 256 steps.
    assert drawn.shape == (96, 96, 3) and np.abs(drawn - expected).max() <= 4


def test_command_line_maps_the_class_asked_for(command, weights, tmp_path):
    photo = weights[0] / "b/photo.png"
    for label in (1, 4):
        told = command(
            "--mode=cam", f"--cam_class={label}", f"--cam_dir={tmp_path}", photo
        )
        (result,) = json.loads(told.splitlines()[-1])["results"]
        assert result["class"] == label and 0 < result["probability"] < 1
        assert f"class {label}  {tmp_path}/photo.cam.png\n" in told


def test_command_line_errors_are_one_line(command, weights, tmp_path):
    photo = weights[0] / "a/photo.png"
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    for arguments, message in (
        ([], "--mode=cam: name one or more image files"),
        ([photo, tmp_path / "no.jpg"], f"image file {tmp_path}/no.jpg does not exist"),
        ([text], f"image file {text} cannot be decoded"),
        ([photo, "--image_size=32"], "image_size=32: leaves one place in"),
        ([photo, "--cam_class=5"], "--cam_class=5: allowed are 0 to 4"),
        ([photo, "--cam_class=-1"], "--cam_class=-1: allowed are 0 to 4"),
        ([photo, f"--cam_dir={text}/x"], f"{text}/x cannot be written"),
    ):
        error = command("--mode=cam", f"--cam_dir={tmp_path}/cam", *arguments)
        assert error.startswith(f"error: {message}") and "\n" not in error
    assert not (tmp_path / "cam").exists()
