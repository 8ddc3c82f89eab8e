"""Commands say which weights they took from a file that holds raw and averaged ones."""

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import torch_saving
from command_line import succeed, tool

import efficientnet_tf as en
from efficientnet_tf.data import preparation

MODEL = "--model=efficientnet-test"


@pytest.fixture
def checkpoint(tmp_path):
    """A .pth file with raw weights and averages, and the models that have them."""
    models = [en.EfficientNet("efficientnet-test", classes=10) for _ in range(2)]
    content = {}
    for model, key in zip(models, ("model", "model_ema"), strict=True):
        en.save_weights(model, tmp_path / "w.safetensors")
        values = safetensors.numpy.load_file(tmp_path / "w.safetensors")
        content[key] = torch_saving.tensors(values)
    return torch_saving.save(tmp_path / "both.pth", content), models


@pytest.mark.parametrize("flag", [(), ("--weights_ema=false",)])
def test_predictions_say_once_which_weights_they_took(flag, checkpoint, images):
    path, models = checkpoint
    photo = next((images / "val").glob("*/*.png"))
    arguments = (f"--weights={path}", MODEL, "--image_size=32", "--json", *flag)
    done = succeed("--mode=predict", *arguments, photo)
    line, assumed = done.stderr.splitlines()
    assert assumed.startswith(f"{path}: padding=same, ") and "assumed" in assumed
    taken, other = ("raw weights", "true") if flag else ("moving averages", "false")
    assert line.startswith(f"{path}: took the {taken} (")
    assert f"--weights_ema={other} takes" in line
    pixels = preparation.Preparation(32, 32 / 64, "bicubic").decode(
        tf.constant(photo.read_bytes())
    )
    expected = np.sort(models[0 if flag else 1](pixels[tf.newaxis])[0])[::-1][:5]
    got = [p["probability"] for p in done.json["results"][0]["predictions"]]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.slow
def test_other_commands_say_so_too(checkpoint, images, tmp_path):
    path, _ = checkpoint
    weights = (f"--weights={path}", MODEL, "--image_size=32")
    data = ("--dataset=folder", f"--data_dir={images}", "--eval_batch_size=20")
    training = ("--train_batch_size=20", "--train_epochs=0.1", "--device=cpu")
    run = f"--model_dir={tmp_path / 'run'}"
    for done in (
        succeed("--mode=eval", *weights, *data, "--device=cpu"),
        succeed("--mode=train", *weights, *data, *training, run),
        tool(
            *("convert_weights", path, "--to=keras", MODEL),
            f"--out={tmp_path / 'converted.h5'}",
        ).checked(),
    ):
        assert done.stderr.count(f"{path}: took the moving averages (model_ema)") == 1
