"""Files of one small model in every format."""

import dataclasses
import re

import pytest
from weight_helpers import assert_same, values

import efficientnet_tf as en
from efficientnet_tf import variants

# The variant's first three blocks: all kinds of tensors, a third of the time.
_VARIANT = variants.get_variant("efficientnet-test")
TEST = dataclasses.replace(_VARIANT, blocks=_VARIANT.blocks[:2])


FILES = {
    "own": ("w.weights.h5", "efficientnet_tf"),
    "keras-h5": ("w.h5", "keras"),
    "keras-weights-h5": ("w.weights.h5", "keras"),
    "timm": ("w.safetensors", "timm"),
    "tf1": ("model.ckpt", "tf1"),
}


def refuses(model, path, *patterns, **kwargs):
    """Loading raises a ValueError that matches, and changes nothing."""
    before = values(model)
    report, passport = getattr(model, "load_report", None), model.passport
    with pytest.raises(ValueError) as caught:
        en.load_weights(model, path, **kwargs)
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), str(caught.value)
    assert_same(model, before)
    assert getattr(model, "load_report", None) is report
    assert model.passport is passport
    return str(caught.value)
