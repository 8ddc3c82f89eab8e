"""Settings of the weights that a run starts from."""

import dataclasses
from typing import Literal

from efficientnet_tf.settings import LISTING, Section, listed, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartingWeights(Section):
    """The weights that a run starts from."""

    weights: str | None = setting(
        "weights to start from: a file, a TF1 checkpoint or a release (imagenet)",
        default=None,
    )
    weights_skip: str | None = setting(
        "layers not to load, comma-separated, such as predictions; empty: load all",
        LISTING,
    )
    weights_ema: bool = setting(
        "load moving averages where a file has both; false: the raw weights",
        default=True,
    )

    classifier_init: Literal["random", "zero", "fitted"] = setting(
        "how a classifier begins that is not loaded: random, zero, or fitted to the "
        "features of the training images by logistic regression",
        default="random",
    )

    @property
    def skipped_weights(self) -> tuple[str, ...]:
        """The layers that `weights` are not loaded into."""
        return listed(self.weights_skip)
