"""Says what the names in PyTorch's pickles mean that the reader does not know."""

import re

_OTHERS = (
    "is no plain data and no dense tensor",
    "the weights alone: torch.save(model.state_dict(), FILE)",
)
# What a name does, and what to save in place of it. Sources: torch/_utils.py and
# torch/storage.py.
_MEANINGS: tuple[tuple[str, str, str], ...] = (
    (
        r"torch\._utils\._rebuild_sparse_\w*tensor",
        "makes a sparse tensor",
        "dense tensors: tensor.to_dense()",
    ),
    (
        r"torch\._utils\._rebuild_qtensor|torch\.QU?Int\w+Storage",
        "makes a quantized tensor",
        "plain numbers: tensor.dequantize()",
    ),
    (
        r"torch\._utils\._rebuild_meta_tensor\w*",
        "makes a meta tensor, which has no values",
        "a model that its weights were loaded into",
    ),
    (
        r"torch\._utils\._rebuild_nested_tensor",
        "makes a nested tensor",
        "each of its tensors by a name of its own",
    ),
    (
        r"torch\._utils\._rebuild_device_tensor\w*",
        "makes a tensor of another device",
        "tensors of the CPU: tensor.cpu()",
    ),
    (
        r"torch\.(Complex\w+Storage|complex\d+)",
        "is a type of complex numbers",
        "real tensors: tensor.real",
    ),
    (
        r"torch\.(float[48]_\w+|u?int[1-7]|bits\w+|q\w+)",
        "is a type of 8 bits or fewer",
        "numbers of 16 or 32 bits: tensor.float()",
    ),
)


def refusal(name: str) -> tuple[str, str]:
    """Returns what a name does, and what to save so that it does not occur.

    Args:
        name: module and name, such as "torch._utils._rebuild_qtensor".
    """
    for pattern, does, instead in _MEANINGS:
        if re.fullmatch(pattern, name):
            return does, instead
    return _OTHERS
