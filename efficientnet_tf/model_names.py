"""Names that other projects and other spellings give to the models."""

import re
from collections.abc import Iterable

# Words of timm's names and short forms, by what our names have in their place.
_WORDS = {
    "effnet": "efficientnet",
    "cc": "condconv",
    "es": "edgetpu-s",
    "em": "edgetpu-m",
    "el": "edgetpu-l",
}
# Words that name a conversion, a training or a data set, and no network.
_NOT_THE_NETWORK = {
    *("tf", "ns", "ap", "aa", "ra", "ra2", "in1k", "in21k", "in21ft1k", "jft"),
}
# Names that no rule explains: timm's, and MobileNet of keras.applications.
_OTHERS = {
    "efficientnetcondconvb18e": "efficientnet-condconv-b0-8e-depth",
    "mobilenet": "mobilenet-v1",
    "mobilenetv1100": "mobilenet-v1",
    "mobilenetv2100": "mobilenet-v2",
}


def meant(text: str, known: Iterable[str]) -> str | None:
    """Returns the model that another spelling or another project's name means.

    Args:
        text: such as "b0", "EfficientNetB0", "efficientnet_b0" or timm's
            "tf_efficientnet_b0_ns" and "tf_efficientnet_es.in1k".
        known: our names.

    Returns:
        The name of ours; None if no rule leads to one.
    """
    ours = {_key(name): name for name in known} | _OTHERS
    key = _key(text)
    return ours.get(key) or ours.get(f"efficientnet{key}")


def _key(text: str) -> str:
    """Returns a name in small letters, without separators and foreign words."""
    network = text.lower().partition(".")[0]  # timm puts the weights' name behind it
    words = [w for w in re.split(r"[^a-z0-9]+", network) if w not in _NOT_THE_NETWORK]
    return re.sub("[^a-z0-9]", "", "".join(_WORDS.get(word, word) for word in words))
