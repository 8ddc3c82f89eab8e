"""Pictures of class activation maps, and --mode=cam."""

import dataclasses
import json
import os

import matplotlib
import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

import main
from efficientnet_tf.data import preparation
from efficientnet_tf.inference import cam, cam_pictures
from efficientnet_tf.inference.classifier import Classifier


def test_normalizing_keeps_negative_evidence_as_the_low_end():
    np.testing.assert_allclose(
        cam_pictures.normalize([[-3.0, 0.0, 1.0]]), [[0, 0.75, 1]]
    )
    np.testing.assert_array_equal(cam_pictures.normalize([[-5.0, -5.0]]), [[0, 0]])


def test_overlay_mixes_the_colour_map_in():
    image = np.full((1, 3, 3), 100, "uint8")
    evidence = np.array([[-1.0, 0.0, 1.0]])
    colours = matplotlib.colormaps["turbo"]([0.0, 0.5, 1.0])[None, :, :3] * 255
    for alpha in (0, 0.25, 1):
        expected = 100 * (1 - alpha) + alpha * colours
        found = cam_pictures.overlay(image, evidence, alpha)
        assert found.dtype == "uint8"
        # Rounding to whole levels is a half.
        np.testing.assert_allclose(found, expected, atol=0.51)
    with pytest.raises(ValueError, match=r"^alpha=2: allowed is 0 to 1"):
        cam_pictures.overlay(image, evidence, 2)
    with pytest.raises(ValueError, match=r"^image of shape \(1, 3, 3\): allowed is"):
        cam_pictures.overlay(image, evidence.T)


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
    cam_pictures.save_grid(str(path), rows, titles=titles, labels=labels)
    assert os.listdir(tmp_path) == ["grid.png"]
    pixels = pixels_of(path)
    assert pixels.shape == (600, 600, 3)
    np.testing.assert_array_equal(pixels[200, 200], [255, 0, 0])
    np.testing.assert_array_equal(pixels[200, 440], [0, 255, 0])
    np.testing.assert_array_equal(pixels[440, 200], [0, 0, 255])
    bare = tmp_path / "bare.png"
    cam_pictures.save_grid(str(bare), rows)
    assert (pixels_of(bare).max(-1) < 128).sum() == 0
    assert (pixels.max(-1) < 128).sum() > 100  # letters


def test_a_grid_keeps_the_pixels_of_large_pictures(tmp_path):
    path = tmp_path / "grid.png"
    cam_pictures.save_grid(str(path), [[plain(600, 1, 2, 3)]])
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
        cam_pictures.save_grid(str(tmp_path / "grid.png"), rows, **kwargs)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "grid.png"
    with pytest.raises(ValueError, match=rf"^{path}: cannot be written \("):
        cam_pictures.save_grid(str(path), [[plain(8, 1, 2, 3)]])


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
    prepared = preparation.Preparation(96, 96 / (96 + 32), "bicubic")
    crop = prepared.decode(photos[0].read_bytes()).numpy()
    expected = cam_pictures.overlay(crop, cam.cam(model, crop[None]).maps[0]).astype(
        int
    )
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
        assert result["name"] == f"class {label}"
        assert f"class {label}  {tmp_path}/photo.cam.png\n" in told


def test_a_background_class_moves_the_class_asked_for(weights, tmp_path):
    classifier = Classifier.of_weights(str(weights[0] / "own.weights.h5"))
    shifted = dataclasses.replace(classifier, label_offset=1)
    photos = [str(weights[0] / "b/photo.png")]
    (plain,), (moved,) = (
        cam_pictures.save_maps(each, photos, directory=str(tmp_path), cam_class=number)[
            "results"
        ]
        for each, number in ((classifier, 3), (shifted, 2))
    )
    assert (plain["class"], moved["class"]) == (3, 2)
    assert moved["probability"] == plain["probability"]


def test_a_class_is_found_by_its_name(weights, tmp_path):
    classifier = Classifier.of_weights(str(weights[0] / "own.weights.h5"))
    photos = [str(weights[0] / "b/photo.png")]
    model = classifier.model
    names = ("ant", "Bee", "bee", "3", "ant")
    model.passport = dataclasses.replace(model.passport, class_names=names)

    def found(cam_class, label_offset=0):
        chosen = dataclasses.replace(classifier, label_offset=label_offset)
        (result,) = cam_pictures.save_maps(
            chosen, photos, directory=str(tmp_path), cam_class=cam_class
        )["results"]
        return result["class"], result["name"]

    assert found("Bee") == (1, "Bee") and found("bee") == (2, "bee")
    # A number is always one.
    assert found("3") == (3, "3") and found(1) == (1, "Bee")
    for unknown, told in (
        ("beee", r"allowed are names of classes and 0 to 4; did you mean bee\?"),
        ("zebra", "allowed are names of classes and 0 to 4$"),
        ("ant", "is the name of the classes 0 and 4; give one of these numbers"),
        ("BEE", "is the name of the classes 1 and 2"),
        ("5", "allowed are 0 to 4"),
        ("", "allowed are names of classes"),
    ):
        with pytest.raises(ValueError, match=f"^cam_class={unknown}: {told}"):
            found(unknown)
    model.passport = dataclasses.replace(model.passport, class_names=names[:4])
    assert found("ANT", label_offset=1) == (0, "ant")
    assert found("background", label_offset=1) == (-1, "background")
    assert found("-1", label_offset=1) == (-1, "background")


def test_command_line_errors_are_one_line(command, weights, tmp_path):
    photo = weights[0] / "a/photo.png"
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    for arguments, message in (
        ([], "--mode=cam: name one or more image files"),
        ([photo, tmp_path / "no.jpg"], f"image file {tmp_path}/no.jpg does not exist"),
        ([text], f"image file {text} cannot be decoded"),
        ([photo, "--image_size=8"], "--image_size=8: leaves one place in"),
        ([photo, "--cam_class=5"], "--cam_class=5: allowed are 0 to 4"),
        ([photo, "--cam_class=-1"], "--cam_class=-1: allowed are 0 to 4"),
        ([photo, "--cam_class=class5"], "--cam_class=class5: allowed are names of"),
        ([photo, f"--cam_dir={text}/x"], f"--cam_dir={text}/x: {text} is not"),
    ):
        error = command("--mode=cam", f"--cam_dir={tmp_path}/cam", *arguments)
        assert error.startswith(f"error: {message}") and "\n" not in error
    assert not (tmp_path / "cam").exists()
