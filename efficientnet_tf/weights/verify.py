"""Compares the outputs of two models on images."""

import keras
import numpy as np


def compare(one: keras.Model, other: keras.Model, images: np.ndarray) -> dict:
    """Runs two models on the same images.

    Args:
        one: a model from pixels to logits.
        other: another model from pixels to logits.
        images: uint8 or float [images, height, width, channels], input of both models.

    Returns:
        "images", "max_difference" of the logits, "max_logit" (absolute), and
        "top_1_agreement" (a fraction).

    Raises:
        ValueError: if the models have different numbers of classes.
    """
    logits = [np.asarray(model(images, training=False)) for model in (one, other)]
    if logits[0].shape != logits[1].shape:
        raise ValueError(
            f"the models have {logits[0].shape[-1]} and {logits[1].shape[-1]} classes"
        )
    same = logits[0].argmax(-1) == logits[1].argmax(-1)
    return {
        "images": len(images),
        "max_difference": float(np.abs(logits[0] - logits[1]).max()),
        "max_logit": float(np.abs(logits[0]).max()),
        "top_1_agreement": float(same.mean()),
    }
