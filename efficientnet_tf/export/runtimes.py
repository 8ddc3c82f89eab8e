"""Opens exported networks in their runtimes, with a thread for each core.

No runtime is imported before `open_network` is called: runtimes start threads, and a
process that measures chooses its core first.
"""

import functools
from collections.abc import Callable

import numpy as np

from efficientnet_tf.export import signal_stack
from efficientnet_tf.hardware import machine

# Maps float32 images [batch, height, width, 3] to the outputs, sorted by their names.
Predict = Callable[[np.ndarray], list[np.ndarray]]


def open_network(runtime: str, path: str) -> Predict:
    """Opens an exported network.

    Args:
        runtime: a key of OPEN.
        path: the folder of a SavedModel, else a file in the runtime's format.

    Returns:
        A function from float32 images, in a batch that the network takes, to its
        outputs: those of an exported classifier are logits and probabilities.
    """
    return OPEN[runtime](path)


def _saved_model(path: str) -> Predict:
    import tensorflow as tf

    model = tf.saved_model.load(path)
    name = "tensor" if "tensor" in model.signatures else "serving_default"

    def predict(images: np.ndarray) -> list[np.ndarray]:
        # Called through the model, which keeps its variables alive.
        outputs = model.signatures[name](images=tf.constant(images))
        return [outputs[key].numpy() for key in sorted(outputs)]

    return predict


def _litert(path: str) -> Predict:
    from ai_edge_litert import interpreter as litert

    interpreter = litert.Interpreter(path, num_threads=machine.cores())
    interpreter.allocate_tensors()  # prints a line, here and not at the first image
    run = interpreter.get_signature_runner()

    def predict(images: np.ndarray) -> list[np.ndarray]:
        outputs = run(images=images)
        return [outputs[key] for key in sorted(outputs)]

    return predict


def _onnx(path: str) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.cores()
    session = onnxruntime.InferenceSession(path, options)
    names = sorted(output.name for output in session.get_outputs())
    return lambda images: session.run(names, {"images": images})


def _openvino(path: str, *, precision: str) -> Predict:
    import openvino

    hints = {
        "INFERENCE_NUM_THREADS": machine.cores(),
        "INFERENCE_PRECISION_HINT": precision,
    }
    with signal_stack.kept():
        network = openvino.Core().compile_model(path, "CPU", hints)
    request = network.create_infer_request()
    names = sorted(output.get_any_name() for output in network.outputs)
    # As an argument of `infer`, an image of 224x224 pixels takes 0.1 ms longer.
    pixels = request.get_tensor("images")
    outputs = [request.get_tensor(name) for name in names]

    def predict(images: np.ndarray) -> list[np.ndarray]:
        pixels.data[:] = images
        request.infer()
        return [output.data.copy() for output in outputs]

    return predict


OPEN: dict[str, Callable[[str], Predict]] = {
    "saved_model": _saved_model,
    "litert": _litert,
    "onnx": _onnx,
    "openvino": functools.partial(_openvino, precision="f32"),
    "openvino_bf16": functools.partial(_openvino, precision="bf16"),
}
