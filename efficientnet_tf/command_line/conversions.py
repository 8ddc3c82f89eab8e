"""What the values of other projects' flags are as our flags.

Each function takes the text of a value and the texts of all flags given, by name. It
returns our arguments, or raises ValueError with words for what is not known here.
"""

import fractions
import math
import os
import re
from collections.abc import Callable, Mapping

from efficientnet_tf import model_names, variants
from efficientnet_tf.command_line import values

Given = Mapping[str, str]

# Defaults of the TF1 original.
_IMAGES, _BATCH, _SHARDS = 1_281_167, 2048, 1024
_TIMM_BATCH = 128
_MOST_DIGITS = 12
_OPTIMIZERS = {
    **dict.fromkeys(("sgd", "nesterov", "momentum"), "sgd"),
    **dict.fromkeys(("rmsprop", "rmsproptf"), "rmsprop"),
    **dict.fromkeys(("adam", "adamw"), "adamw"),
}
_SCHEDULES = {
    **dict.fromkeys(("step", "multistep", "exponential"), "exponential"),
    **dict.fromkeys(("cosine", "cosine_v2"), "cosine"),
    **dict.fromkeys(("none", "constant"), "constant"),
}
_DTYPES = {
    **dict.fromkeys(("bfloat16", "bf16", "float16", "fp16"), "bfloat16"),
    **dict.fromkeys(("mixed_bfloat16", "mixed_float16"), "bfloat16"),
    **dict.fromkeys(("float32", "fp32"), "float32"),
}
_AUTOAUGMENT = ("autoaugment", "v0", "original", "originalr", "v0r")


def model(value: str, given: Given) -> list[str]:
    """Our name of a model."""
    known = variants.list_variants()
    name = value if value in known else model_names.meant(value, known)
    if name is None:
        raise ValueError("--mode=list prints the models")
    return [f"--model={name}"]


def model_type(value: str, given: Given) -> list[str]:
    """The smallest model of a type, unless the configuration file names one."""
    if "config_file" in given:
        return []
    return model({"efficientnet": "b0", "resnet": "resnet-50"}.get(value, value), given)


def config_file(value: str, given: Given) -> list[str]:
    """The model in a file's name, such as efficientnet-b0-tpu.yaml."""
    file = os.path.basename(value)
    found = [name for name in variants.list_variants() if file.startswith(name)]
    return [f"--model={max(found, key=len)}"] if found else []


def use_tpu(value: str, given: Given) -> list[str]:
    """The TPU, unless one is named."""
    return ["--device=tpu"] if _switch(value) and not given.get("tpu") else []


def bfloat16(value: str, given: Given) -> list[str]:
    """The precision that a switch chooses."""
    return [f"--precision={'bfloat16' if _switch(value) else 'float32'}"]


def dtype(value: str, given: Given) -> list[str]:
    """The precision of a dtype; half precision is bfloat16 here."""
    return [f"--precision={_of(_DTYPES, value)}"]


def classes(value: str, given: Given) -> list[str]:
    """The outputs; the original's 1,001 have a background class before the labels."""
    return [f"--num_classes={value}", *["--label_offset=1"] * (value == "1001")]


def background(value: str, given: Given) -> list[str]:
    """One class before the data's labels."""
    return ["--label_offset=1"] if _switch(value) else []


def epochs(value: str, given: Given) -> list[str]:
    """The shortest number of epochs that has this many whole steps."""
    return [f"--train_epochs={_epochs_of(_number(value), given, math.floor)}"]


def eval_epochs(value: str, given: Given) -> list[str]:
    """The shortest number of epochs whose steps, rounded up, are these."""
    return [f"--eval_epochs={_epochs_of(_number(value), given, math.ceil)}"]


def _epochs_of(steps: fractions.Fraction, given: Given, to_whole: Callable) -> str:
    batch = _number(given.get("train_batch_size") or str(_BATCH))
    images = _number(given.get("num_train_images") or str(_IMAGES))
    held_out = _number(given.get("holdout_shards") or "0")
    images -= int(images * held_out / _SHARDS)
    if steps <= 0 or batch <= 0 or images <= 0:
        raise ValueError("steps, batch and images are above 0")
    exact = steps * batch / images
    for digits in range(_MOST_DIGITS):
        for rounded in (math.ceil, math.floor):
            near = fractions.Fraction(rounded(exact * 10**digits), 10**digits)
            if near > 0 and to_whole(near * images / batch) == steps:
                return _decimal(near)
    return _decimal(exact)


def one_minus(value: str, given: Given) -> list[str]:
    """The probability to survive, from the one to be dropped."""
    kept = 1 - _number(value)
    if not 0 < kept <= 1:
        raise ValueError("allowed is 0 to below 1")
    return [f"--survival_prob={_decimal(kept)}"]


def learning_rate(value: str, given: Given) -> list[str]:
    """The rate for 256 images, from the rate for a batch."""
    sizes = (given.get(name) for name in ("train_batch_size", "batch_size", "b"))
    batch = _number(next(filter(None, sizes), str(_TIMM_BATCH)))
    if batch <= 0:
        raise ValueError("the batch is above 0")
    return [f"--learning_rate={_decimal(_number(value) * 256 / batch)}"]


def augment(value: str, given: Given) -> list[str]:
    """The policy, of the original's names and of timm's."""
    if value.lower() in ("", "none"):
        return ["--augment=none"]
    if value in _AUTOAUGMENT:
        return ["--augment=autoaugment"]
    if value == "randaugment":
        return ["--augment=randaugment"]
    match = re.match(r"rand-(?:.*-)?m(\d+)", value)
    if not match:
        raise ValueError("there is no such policy; --help lists --augment")
    layers = re.search(r"-n(\d+)", value)
    return [
        "--augment=randaugment",
        f"--randaugment_num_layers={layers[1] if layers else 2}",
        f"--randaugment_magnitude={match[1]}",
    ]


def optimizer(value: str, given: Given) -> list[str]:
    """The optimizer that is nearest."""
    return [f"--optimizer={_of(_OPTIMIZERS, value)}"]


def schedule(value: str, given: Given) -> list[str]:
    """The schedule of the learning rate."""
    return [f"--lr_schedule={_of(_SCHEDULES, value)}"]


def crop(value: str, given: Given) -> list[str]:
    """The evaluation crop of a share of the image."""
    if _number(value) != fractions.Fraction(7, 8):
        raise ValueError("allowed are padded, size/(size+32), and exact, 0.875")
    return ["--eval_crop=exact"]


def flip(value: str, given: Given) -> list[str]:
    """Whether half of the images are mirrored."""
    return ["--flip" if _number(value) else "--noflip"]


def first(value: str, given: Given) -> list[str]:
    """The first of several values: the smallest crop."""
    return [f"--crop_area_min={value.split()[0]}"]


def last(value: str, given: Given) -> list[str]:
    """The last of several values: the width in channels, height and width."""
    return [f"--image_size={value.split()[-1]}"]


def switch(value: str, given: Given) -> list[str]:
    """Whether moving averages are loaded."""
    return ["--weights_ema" if _switch(value) else "--noweights_ema"]


def runmode(value: str, given: Given) -> list[str]:
    """Evaluation; single images are predicted by `image`."""
    return ["--mode=eval"] if value == "imagenet" else []


def image(value: str, given: Given) -> list[str]:
    """A prediction of an image file."""
    return ["--mode=predict", value]


def saved_model(value: str, given: Given) -> list[str]:
    """An export to a folder."""
    return ["--mode=export", f"--export_dir={value}"]


def tflite(value: str, given: Given) -> list[str]:
    """A LiteRT file in a folder called as the file, unless a folder is named."""
    folder = given.get("output_saved_model_dir") or value.removesuffix(".tflite")
    return ["--mode=export", "--export_formats=litert", f"--export_dir={folder}"]


def _of(names: Mapping[str, str], value: str) -> str:
    if value.lower() not in names:
        raise ValueError(f"known are {', '.join(names)}")
    return names[value.lower()]


def _switch(value: str) -> bool:
    known = values.SWITCH | {"yes": True, "y": True, "no": False, "n": False}
    if value.lower() not in known:
        raise ValueError("allowed are true and false")
    return known[value.lower()]


def _number(value: str) -> fractions.Fraction:
    number = values.read(value, float)
    if number is None or not math.isfinite(number):
        raise ValueError("allowed is a number")
    return fractions.Fraction(str(number))


def _decimal(number: fractions.Fraction) -> str:
    """Returns a number in decimals, with as many digits as a float has."""
    return f"{float(number):.12g}"
