"""What an evaluation's scores say of a network that has learned nothing."""

import math
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.training.label_kinds import LabelKind

_LEAST_IMAGES = 10  # fewer say nothing about chance
_ALMOST_ALL = 0.95  # of the images, that get one answer
_MOSTLY_RIGHT = 0.75  # of them, in data of which one class has most images


def warnings(scores: Mapping[str, Any], kind: LabelKind) -> list[str]:
    """Warns of scores no better than chance, and of one answer for all images.

    Args:
        scores: what `evaluation.score` returned.
        kind: what labels the images have.
    """
    chance, score, images = scores["chance"], scores[kind.leading], scores["examples"]
    # A constant answer scores below this in 98% of draws of as many images.
    margin = 2 * math.sqrt(chance * (1 - chance) / images)
    told = []
    if images >= _LEAST_IMAGES and score < 1 and score <= chance + margin:
        told.append(
            f"{kind.leading} {score:.2%} on {images} images is no better than chance, "
            f"{chance:.2%} (up to {min(1.0, chance + margin):.2%} by luck): train "
            "longer, at another --learning_rate, or look at the labels in the report"
        )
    share = scores["most_predicted"]
    right = scores[kind.whole]
    if images > 1 and share >= _ALMOST_ALL and right <= _MOSTLY_RIGHT * share:
        told.append(
            f"{share:.0%} of {images} images get the same prediction, which is right "
            f"for {right:.0%}: train longer, at a lower --learning_rate, or with "
            "--class_weights=balanced where one class has most images"
        )
    return told
