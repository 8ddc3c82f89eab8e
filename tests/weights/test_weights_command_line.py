"""Weights from files at the command line: train from them, evaluate, predict, convert.

A run on a folder of images is the source of all files.
"""

import dataclasses
import shutil

import h5py
import networks
import numpy as np
import pytest
import tensorflow as tf
from command_line import refusal, succeed, tool

import efficientnet_tf as en
from efficientnet_tf.data import preparation
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.weights import checksums

MODEL = "--model=efficientnet-test"
NETWORK = (MODEL, f"--blocks={networks.ONE}")
SMALL = ("--image_size=32", "--eval_batch_size=20", "--device=cpu", "--json")


def training(images, model_dir, *arguments):
    return (
        *("--mode=train", *NETWORK, "--dataset=folder", f"--data_dir={images}"),
        *(f"--model_dir={model_dir}", "--train_batch_size=20", "--learning_rate=0.1"),
        *("--warmup_epochs=0", "--moving_average_decay=0.9", "--augment=none"),
        *SMALL,
        *arguments,
    )


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """The folder of a run of one epoch, and its scores."""
    model_dir = tmp_path_factory.mktemp("run")
    succeed(*training(images, model_dir, "--train_epochs=1"))
    result = succeed("--mode=eval", f"--model_dir={model_dir}", "--json")
    return model_dir, result.json


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    """The run's weights in this package's and in keras.applications' layout."""
    folder = tmp_path_factory.mktemp("files")
    paths = {"own": folder / "own.weights.h5", "keras": folder / "keras.h5"}
    for name, format in (("own", "efficientnet_tf"), ("keras", "keras")):
        arguments = (trained[0], f"--to={format}", f"--out={paths[name]}", "--json")
        result = tool("convert_weights", *arguments).checked().json
        assert result["model"] == "efficientnet-test"
    return paths


def model_of(model_dir):
    return Classifier.of_run(str(model_dir)).model


@pytest.mark.parametrize(
    ("name", "arguments"), [("own", ()), ("keras", (MODEL, "--image_size=32"))]
)
def test_weights_score_on_a_folder_what_their_run_scored(
    trained, files, images, name, arguments
):
    scores = succeed(
        *("--mode=eval", f"--weights={files[name]}", "--dataset=folder"),
        *(f"--data_dir={images}", "--eval_batch_size=20", "--json", *arguments),
    ).json
    for key in ("top_1", "top_5", "examples"):
        assert scores[key] == trained[1][key]
    assert scores["loss"] == pytest.approx(trained[1]["loss"], rel=1e-5)
    assert scores["examples"] == 60
    assert scores["weights"] == str(files[name])


def test_weights_predict_what_their_run_predicts(trained, files, images):
    photos = sorted((images / "val").glob("*/*.png"))[:3]
    of_run, of_own, of_keras = (
        succeed("--mode=predict", "--json", *arguments, *photos).json["results"]
        for arguments in (
            (f"--model_dir={trained[0]}",),
            (f"--weights={files['own']}",),
            (f"--weights={files['keras']}", MODEL, "--image_size=32"),
        )
    )
    assert len(of_run) == 3 and len(of_run[0]["predictions"]) == 5
    for got in (of_run, of_own, of_keras):
        for one in (p for result in got for p in result["predictions"]):
            assert one["name"] == f"digit{one['class']}"
    for got in (of_own, of_keras):
        for ours, theirs in zip(got, of_run, strict=True):
            assert ours["file"] == theirs["file"]
            for one, other in zip(
                ours["predictions"], theirs["predictions"], strict=True
            ):
                assert one["class"] == other["class"]
                assert one["probability"] == pytest.approx(other["probability"])


def test_weights_export_without_a_run(images, tmp_path):
    out, weights = tmp_path / "saved_model", tmp_path / "own.weights.h5"
    en.save_weights(en.EfficientNet(networks.own(networks.ONE), classes=10), weights)
    arguments = (f"--weights={weights}", f"--export_dir={out}", "--json")
    assert succeed("--mode=export", *arguments).json["export_dir"] == str(out)
    photo = next((images / "val").glob("*/*.png"))
    serve = tf.saved_model.load(str(out)).signatures["serving_default"]
    served = serve(tf.constant([photo.read_bytes()]))["top_k_probabilities"][0]
    (predicted,) = succeed(
        "--mode=predict", f"--weights={weights}", "--json", photo
    ).json["results"]
    expected = [p["probability"] for p in predicted["predictions"]]
    np.testing.assert_allclose(served, expected, rtol=1e-5)


def test_training_starts_from_weights_and_keeps_its_passport(images, tmp_path):
    blocks = networks.PLAIN.split(",")
    variant = en.EfficientNet("efficientnet-test", blocks=blocks).passport.variant
    # As PyTorch does, which no flag of a run says.
    variant = dataclasses.replace(variant, padding="symmetric")
    model = en.EfficientNet(variant, classes=7)
    weights = tmp_path / "start.weights.h5"
    en.save_weights(model, str(weights))
    model_dir = tmp_path / "run"
    arguments = training(
        *(images, model_dir, "--learning_rate=1e-9"),
        *(f"--blocks={networks.PLAIN}", "--image_size=24", "--eval_crop=fixed"),
        *(f"--weights={weights}", "--weights_skip=predictions"),
    )
    succeed(*arguments, "--train_epochs=0.1")
    before = (model_dir / "passport.json").read_text()
    passport = RunDir(str(model_dir)).read_passport()
    assert (passport.image_size, passport.crop) == (24, "fixed")
    assert passport.source == str(weights)
    assert passport.skipped == ("predictions/kernel", "predictions/bias")
    succeed(*arguments, "--train_epochs=0.2")
    assert (model_dir / "passport.json").read_text() == before
    assert RunDir(str(model_dir)).read_passport().variant.padding == "symmetric"
    again = model_of(model_dir)
    assert again.passport.variant.padding == "symmetric"
    assert again.passport.classes == 10
    assert again.passport.averaged is True
    for layer in ("stem_conv", "block1b_project_conv"):
        got, start = (m.get_layer(layer).kernel.numpy() for m in (again, model))
        np.testing.assert_allclose(got, start, atol=1e-5)


@pytest.mark.slow
def test_a_folders_names_take_the_place_of_the_weights_names(images, tmp_path):
    # Of a network for ten of ImageNet's classes, whose classifier is kept.
    model = en.EfficientNet("efficientnet-test", classes=10)
    passport = dataclasses.replace(
        model.passport,
        label_set="imagenet-1k",
        class_names=("tench", *(f"fish {number}" for number in range(9))),
    )
    model.passport = passport
    weights = tmp_path / "start.weights.h5"
    en.save_weights(model, str(weights))
    arguments = training(images, tmp_path / "run", "--mode=train", "--train_epochs=0.1")
    succeed(*arguments, f"--weights={weights}")
    digits = tuple(f"digit{number}" for number in range(10))
    assert tuple((tmp_path / "run/labels.txt").read_text().splitlines()) == digits
    opened = Classifier.of_run(str(tmp_path / "run"))
    assert opened.class_names == opened.model.passport.class_names == digits
    assert opened.model.passport.label_set is None
    assert Classifier.of_weights(str(weights)).class_names == passport.class_names


def test_evaluation_names_the_classes_and_refuses_another_order(
    trained, files, images, tmp_path
):
    def scores(weights, *arguments):
        command = ("--mode=eval", f"--weights={weights}", "--dataset=folder")
        return (*command, f"--data_dir={images}", *SMALL[1:], *arguments)

    digits = [f"digit{number}" for number in range(10)]
    assert trained[1]["class_names"] == digits
    # Weights that state no names are scored by those of the data.
    told = succeed(*scores(files["keras"], MODEL, "--image_size=32"))
    assert told.json["class_names"] == digits
    assert "classes       digit0, digit1, digit2, digit3, digit4 and 5" in told.stdout
    model = Classifier.of_weights(str(files["own"])).model
    names = ("digit1", "digit0", *digits[2:])
    model.passport = dataclasses.replace(model.passport, class_names=names)
    en.save_weights(model, str(tmp_path / "other.weights.h5"))
    line = refusal(*scores(tmp_path / "other.weights.h5"))
    assert f"--data_dir={images}: class 0 is digit0, but digit1 in the model" in line


def test_two_formats_of_the_same_weights_verify_as_equal(files):
    arguments = (files["own"], files["keras"], MODEL, "--image_size=64", "--json")
    result = tool("verify_weights", *arguments).checked().json
    assert result["max_difference"] == 0 and result["max_logit"] > 0
    assert result["top_1_agreement"] == 1 and result["images"] == 16


def test_converting_replaces_no_file_unasked(files):
    before = files["keras"].read_bytes()
    out = f"--out={files['keras']}"
    result = tool("convert_weights", files["own"], "--to=keras", out)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert "exists; --overwrite replaces it" in line
    assert files["keras"].read_bytes() == before


def test_weights_that_do_not_fit_leave_no_run_behind(files, images, tmp_path):
    model_dir = tmp_path / "run"
    arguments = training(images, model_dir, f"--weights={files['keras']}")
    line = refusal(*arguments, "--width_coefficient=2")
    assert f"{files['keras']}: holds efficientnet-test with width=1.0" in line
    assert "not with width=2.0" in line
    assert not model_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--mode=predict", "--weights=x.h5", "--model_dir=y", "z.jpg"),
            "--mode=predict takes one of them",
        ),
        (
            ("--mode=eval", "--weights=x.h5"),
            "--mode=eval with --weights needs the images",
        ),
        (("--mode=export", "--weights=x.h5"), "name the --export_dir"),
        (
            ("--mode=predict", "--weights=x.h5", MODEL, "z.jpg"),
            "weights=x.h5: does not exist",
        ),
        (
            ("--mode=predict", "--weights=imagenet", "z.jpg"),
            "weights=imagenet: no such file; to load a release",
        ),
        (
            ("--mode=predict", "--weights=best", MODEL, "z.jpg"),
            "weights=best: no such release; efficientnet-test has none",
        ),
        (("--blocks=r1_k3_s11_e1_i32",), "option 'o' (output_filters) is missing"),
        (
            ("--blocks=r1_k3_s11_e1_i8_o8,r1_k3_s22_e4_i16_o8",),
            "takes 16, but the block string before it gives 8",
        ),
        (("--label_offset=10",), "label_offset=10: allowed is less than"),
    ],
)
def test_wrong_flags_get_one_line(arguments, message, images, tmp_path):
    photo = next((images / "val").glob("*/*.png"))
    (tmp_path / "z.jpg").write_bytes(photo.read_bytes())
    arguments = [f"{tmp_path}/{x}" if x == "z.jpg" else x for x in arguments]
    assert message in refusal(*arguments)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--weights_skip=predictions", "is taken as it is"),
        ("--width_coefficient=2", "is taken as it is"),
        ("--model=efficientnet-b3", "holds efficientnet-test, not efficientnet-b3"),
    ],
)
def test_finished_weights_take_no_other_network(files, images, flag, message):
    line = refusal("--mode=predict", f"--weights={files['own']}", flag, images / "val")
    assert message in line and "leave" in line


def test_a_network_by_another_name_is_used_as_it_is(images, tmp_path):
    variant = dataclasses.replace(
        en.get_variant("efficientnet-test"), name="mine", head_filters=64
    )
    model = en.EfficientNet(
        variant, classes=10, activation="elu", input_shape=(48, 48, 3)
    )
    weights = tmp_path / "mine.weights.h5"
    en.save_weights(model, weights)
    photo = next((images / "val").glob("*/*.png"))
    done = succeed("--mode=predict", f"--weights={weights}", "--json", photo)
    (result,) = done.json["results"]
    prepared = preparation.Preparation(48, 48 / 80, "bicubic")
    pixels = prepared.decode(tf.constant(photo.read_bytes()))
    expected = np.sort(model(pixels[tf.newaxis])[0])[::-1][:5]
    got = [p["probability"] for p in result["predictions"]]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_weights_that_name_no_model_ask_for_it(files, images, tmp_path):
    weights = shutil.copy(files["keras"], tmp_path)
    with h5py.File(weights, "a") as file:  # as another program writes it
        del file.attrs["passport"], file.attrs[checksums.PASSPORT]
    line = refusal("--mode=predict", f"--weights={weights}", images / "val")
    assert "does not say which model it holds; name the model too" in line


@pytest.mark.slow
def test_own_blocks_train_and_are_evaluated_again(images, tmp_path):
    model_dir = tmp_path / "run"
    blocks = "r1_k3_s11_e1_i8_o8,r2_k3_s22_e4_i8_o16_se0.25,r1_k3_s22_e2_i16_o24_f1"
    scores = succeed(
        *training(images, model_dir, "--train_epochs=0.2", f"--blocks={blocks}"),
        "--mode=train_and_eval",
    ).json
    weights = tmp_path / "own.weights.h5"
    en.save_weights(model_of(model_dir), str(weights))
    scored = succeed(
        *("--mode=eval", f"--weights={weights}", "--dataset=folder"),
        *(f"--data_dir={images}", "--eval_batch_size=20", "--json"),
    ).json
    assert scored["loss"] == pytest.approx(scores["loss"], rel=1e-6)
