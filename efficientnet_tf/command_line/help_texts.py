"""The help text of a flag: what its setting does, its default and what is allowed."""

import dataclasses

from efficientnet_tf import recipes, settings
from efficientnet_tf.data import catalogue

_PAPER = recipes.find("paper", "efficientnet-b0", "imagenet")[1] | catalogue.facts(
    "imagenet", None
)


def of(field: dataclasses.Field) -> str:
    """Returns the help text of a setting's flag.

    Args:
        field: the setting. A value without a default is shown as the paper's.
    """
    default = field.default
    if default is dataclasses.MISSING:
        default = f"the recipe's or the data's, {_PAPER[field.name]} for B0 on ImageNet"
    allowed, text = settings.allowed(field).told(), field.metadata["help"]
    says_itself = default is None and "default " in text
    told = [] if says_itself else [f"default: {default}"]
    told += [f"allowed: {allowed}"] if allowed else []
    return f"{text} ({'; '.join(told)})" if told else text
