"""timm's networks for `benchmark_latency`, in TorchScript, ONNX and OpenVINO.

As a program it is `export.latency_process` with one more runtime, "torchscript". timm
and PyTorch come with the extra `torch`.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator

import numpy as np

from efficientnet_tf import terminal
from efficientnet_tf.export import latency_process, runtimes

# timm's names of the same networks: without tf_, whose padding PyTorch has to add.
_NAMES = {
    **{f"efficientnet-b{n}": f"efficientnet_b{n}" for n in range(8)},
    **{f"efficientnet-lite{n}": f"efficientnet_lite{n}" for n in range(5)},
    "efficientnetv2-b0": "tf_efficientnetv2_b0",
    "resnet-50": "resnet50",
    "resnet-152": "resnet152",
}


def is_there(name: str) -> bool:
    """Says whether timm is installed and has a network by one of our names."""
    return name in _NAMES and importlib.util.find_spec("timm") is not None


def write(name: str, size: int, folder: str) -> Iterator[tuple[str, str, str]]:
    """Writes a network with random weights for each runtime.

    Args:
        name: our name of the network, such as "efficientnet-b0".
        size: int, height and width of images in pixels.
        folder: where to write, made here.

    Yields:
        A row's name, its runtime and its file.
    """
    # Its LLVM crashes beside TensorFlow's (triton of torch 2.14, TensorFlow 2.20).
    sys.modules.setdefault("triton", None)
    import openvino
    import timm
    import torch

    class Rows(torch.nn.Module):
        """Takes images as our formats do, float32 [1, height, width, 3]."""

        def __init__(self) -> None:
            super().__init__()
            network = timm.create_model(_NAMES[name], exportable=True)
            for layer in network.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.running_mean.normal_(0, 0.1)
                    layer.bias.data.normal_(0, 0.1)
            # In this order of memory oneDNN's convolutions need no copies.
            self.network = network.to(memory_format=torch.channels_last)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images.permute(0, 3, 1, 2))

    os.makedirs(folder)
    whole, images = Rows().eval(), torch.zeros(1, size, size, 3)
    script, onnx, xml = (f"{folder}/model.{kind}" for kind in ("pt", "onnx", "xml"))
    with terminal.quiet(), torch.inference_mode():
        torch.jit.trace(whole, images).save(script)
        torch.onnx.export(whole, (images,), onnx, input_names=["images"], dynamo=False)
        network = openvino.convert_model(onnx)
        openvino.save_model(network, xml, compress_to_fp16=False)
    yield "timm/torchscript", "torchscript", script
    yield "timm/onnx", "onnx", onnx
    yield "timm/openvino", "openvino", xml


def _torchscript(path: str) -> runtimes.Predict:
    import torch

    torch.set_num_threads(1)
    network = torch.jit.freeze(torch.jit.load(path).eval())

    def predict(images: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [network(torch.from_numpy(images)).numpy()]

    return predict


if __name__ == "__main__":
    runtimes.OPEN["torchscript"] = _torchscript
    latency_process.main(*sys.argv[1:])
