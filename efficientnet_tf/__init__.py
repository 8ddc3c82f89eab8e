"""EfficientNet (arXiv 1905.11946): the models, the recipe and the scaling method.

Names load on first use: `import efficientnet_tf` imports neither TensorFlow nor Keras.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "blocks": ("BlockArgs", "decode_block", "encode_block"),
    "variants": ("Variant", "get_variant", "list_variants"),
    "expansion": ("expand",),
    "counting": ("count",),
    "models.efficientnet": ("EfficientNet",),
    "models.applications": (
        *(f"EfficientNetB{i}" for i in range(8)),
        *(f"EfficientNetV2{i}" for i in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        "preprocess_input",
    ),
    "models.pretrained": ("load_weights",),
    "weights.writing": ("save_weights",),
    "training.optimizer": ("RMSprop",),
    "training.schedules": ("LearningRate", "learning_rate"),
    "training.ema": ("ExponentialMovingAverage",),
    "training.callbacks": ("EMA",),
    "training.finetuning": ("finetune",),
    "inference.classifier": ("Classifier",),
    "inference.decoding": ("decode_predictions",),
}
_PACKAGES = ("data",)  # whose names are public under theirs: `data.from_arrays`
_NEED_TENSORFLOW = ("models", "weights", "training", "inference", *_PACKAGES)
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted({*_MODULE_OF, *_PACKAGES})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULE_OF.get(name, name)
    if module.split(".")[0] in _NEED_TENSORFLOW:
        # An import that aborts would end a notebook's kernel without a message.
        importlib.import_module(f"{__name__}.hardware.preflight").before_import()
    home = importlib.import_module(f"{__name__}.{module}")
    value = home if name in _PACKAGES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
