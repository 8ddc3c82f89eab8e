"""Our networks with PyTorch's weights against PyTorch's networks.

Needs the extra `torch`: python -m pytest -m torch
"""

import sys

import keras
import numpy as np
import pytest

import efficientnet_tf as en

# Triton's LLVM crashes beside TensorFlow's (triton of torch 2.14, TensorFlow 2.20), and
# PyTorch does without it.
sys.modules.setdefault("triton", None)
torch = pytest.importorskip("torch", reason="needs pip install -e '.[torch]'")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

TIMM = [
    ("tf_efficientnet_b0", "efficientnet-b0"),
    ("tf_efficientnet_b3", "efficientnet-b3"),
    ("tf_efficientnet_lite0", "efficientnet-lite0"),
    ("tf_efficientnet_lite4", "efficientnet-lite4"),
    ("tf_efficientnet_es", "efficientnet-edgetpu-s"),
    ("tf_efficientnet_el", "efficientnet-edgetpu-l"),
    ("tf_efficientnet_cc_b0_4e", "efficientnet-condconv-b0-4e"),
    ("tf_efficientnet_cc_b0_8e", "efficientnet-condconv-b0-8e"),
    ("tf_efficientnet_cc_b1_8e", "efficientnet-condconv-b0-8e-depth"),
    ("tf_efficientnetv2_b0", "efficientnetv2-b0"),
    ("tf_efficientnetv2_b3", "efficientnetv2-b3"),
    ("tf_efficientnetv2_s", "efficientnetv2-s"),
    ("efficientnet_b0", "efficientnet-b0"),  # timm's own: symmetric, epsilon 1e-5
    ("mobilenetv1_100", "mobilenet-v1"),
    ("mobilenetv2_100", "mobilenet-v2"),
    ("resnet50", "resnet-50"),
]
TORCHVISION = [
    ("efficientnet_b0", "efficientnet-b0"),
    ("efficientnet_b5", "efficientnet-b5"),
    ("efficientnet_v2_s", "efficientnetv2-s"),
    ("mobilenet_v2", "mobilenet-v2"),
    ("resnet50", "resnet-50"),
]


def timm_model(name):
    import timm  # here, because collecting these tests must not need torchvision

    return timm.create_model(name)


def images(size):
    return np.random.default_rng(0).normal(size=(4, size, size, 3)).astype("float32")


def channels_first(x):
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def randomize(model, x):
    """Weights for which every tensor in the wrong place shows in the logits.

    The batch norms' statistics are those of the images: with others, activations grow
    from block to block until rounding decides the logits.
    """
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1)
            elif tensor.ndim == 1 and name.endswith("weight"):
                tensor.uniform_(0.8, 1.2)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the mean of all batches since the reset
                module.reset_running_stats()
        model.train()(channels_first(x))
    return model.eval()


def relative_difference(theirs, ours, x):
    with torch.no_grad():
        expected = theirs(channels_first(x)).numpy()
    got = keras.ops.convert_to_numpy(ours(x, training=False))
    assert np.ptp(expected, axis=-1).min() > 0.01 * np.abs(expected).max()
    return np.abs(got - expected).max() / np.abs(expected).max()


def build(name, path, *, size):
    return en.EfficientNet(
        name,
        weights=str(path),
        include_preprocessing=False,
        input_shape=(size, size, 3),
        classifier_activation=None,
    )


@pytest.mark.parametrize(("theirs_name", "name"), TIMM)
@pytest.mark.parametrize("size", [64, 75])
def test_logits_equal_timm(theirs_name, name, size, tmp_path):
    from safetensors.torch import save_file

    x = images(size)
    theirs = randomize(timm_model(theirs_name), x)
    path = tmp_path / f"{theirs_name}.safetensors"
    save_file(theirs.state_dict(), path)
    ours = build(name, path, size=size)
    assert relative_difference(theirs, ours, x) <= 1e-4
    assert all(n.endswith("num_batches_tracked") for n in ours.load_report.unused)


@pytest.mark.parametrize(("theirs_name", "name"), TORCHVISION)
def test_logits_equal_torchvision(theirs_name, name, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    x = images(64)
    theirs = randomize(getattr(torchvision.models, theirs_name)(), x)
    path = tmp_path / "weights.pth"
    torch.save(theirs.state_dict(), path)
    ours = build(name, path, size=64)
    assert relative_difference(theirs, ours, x) <= 1e-4


@pytest.mark.parametrize(("theirs_name", "name"), TIMM)
def test_timm_takes_what_we_write(theirs_name, name, tmp_path):
    from safetensors.torch import load_file

    if "tf_" not in theirs_name and "resnet" not in theirs_name:
        pytest.skip("timm's own convention; its tensors are those of the tf_ model")
    ours = en.EfficientNet(name, input_shape=(64, 64, 3), include_preprocessing=False)
    path = tmp_path / "ours.safetensors"
    en.save_weights(ours, str(path))
    theirs = timm_model(theirs_name)
    theirs.load_state_dict(load_file(path), strict=True)
    written, read = theirs.state_dict(), load_file(path)
    assert all(torch.equal(written[name], read[name]) for name in read)
