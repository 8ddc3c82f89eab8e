"""A small network without a classifier, and its files as Keras saves them."""

import warnings

import networks
from weight_helpers import build
from weights_support import TEST

ONE = (networks.ONE,)
SUFFIXES = ("w.keras", "w.h5", "w.weights.h5")


def headless():
    """A new network of one block, which ends in pooled features."""
    return build(TEST, blocks=ONE, include_top=False, pooling="avg")


def save(model, path):
    """Saves as Keras does; returns the path as text."""
    write = model.save_weights if str(path).endswith(".weights.h5") else model.save
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="You are saving your model as an HDF5"
        )
        write(path)
    return str(path)
