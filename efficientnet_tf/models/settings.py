"""The settings of a network; no TensorFlow, no Keras."""

import dataclasses
import functools
from typing import Literal

from efficientnet_tf import expansion, model_names, variants
from efficientnet_tf.settings import (
    FRACTION,
    PROBABILITY,
    Section,
    above,
    choice,
    listed,
    setting,
    shown,
)
from efficientnet_tf.spelling import did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network(Section):
    """The network to build; see each field's help."""

    model: str = setting(
        "model name",
        choice(
            *variants.list_variants(),
            nearest=lambda name: model_names.meant(name, variants.list_variants()),
        ),
        default="efficientnet-b0",
    )
    blocks: str | None = setting(
        "block strings, comma-separated, of a network of your own", default=None
    )
    width_coefficient: float | None = setting(
        "filter multiplier; None: the model's",
        above(0, expansion.MOST_WIDTH),
        default=None,
    )
    depth_coefficient: float | None = setting(
        "repeat multiplier; None: the model's",
        above(0, expansion.MOST_DEPTH),
        default=None,
    )
    dropout_rate: float = setting("dropout before the classifier", FRACTION)
    survival_prob: float = setting(
        "stochastic depth: survival of the last block", PROBABILITY
    )
    activation: Literal["swish", "relu", "relu6", "hard_swish", "gelu"] | None = (
        setting("activation; None: the model's", default=None)
    )
    batch_norm: Literal["sync", "grouped", "local", "frozen"] = setting(
        "batch norm in training: statistics over all replicas (sync), over groups as "
        "in the original on large slices (grouped), over each replica (local), or the "
        "moving ones, left unchanged (frozen)"
    )

    freeze: str = setting(
        "stages not to train: none, backbone (all but the classifier), or the last "
        "one of them, such as stem or block3",
        default="none",
    )

    def check_together(self) -> None:
        """Raises ValueError where block strings make no network."""
        try:
            self.variant.name  # noqa: B018, expands the blocks, which is the check
        except ValueError as error:
            raise ValueError(f"{self.own_network}: {error}") from None
        stages = self.expanded.stages
        if self.freeze not in ("none", "backbone", *stages):
            raise ValueError(
                f"freeze={self.freeze}: allowed is none, backbone or a stage, "
                f"{', '.join(stages)}{did_you_mean(self.freeze, stages)}"
            )

    @property
    def own_network(self) -> str:
        """The setting that makes the network the user's own, with its value."""
        names = ("blocks", "depth_coefficient", "width_coefficient", "model")
        name = next(name for name in names if getattr(self, name) is not None)
        return f"{name}={shown(getattr(self, name))}"

    @property
    def trains_classifier_only(self) -> bool:
        """Whether the network up to the classifier stays as it is."""
        return self.freeze == "backbone"

    @functools.cached_property
    def variant(self) -> variants.Variant:
        """The network: the model's table row with this run's changes."""
        return expansion.customize(
            self.model,
            blocks=None if self.blocks is None else listed(self.blocks),
            width=self.width_coefficient,
            depth=self.depth_coefficient,
            activation=self.activation,
        )

    @functools.cached_property
    def expanded(self) -> expansion.Expansion:
        """The network's concrete blocks."""
        return expansion.expand(self.variant, survival_prob=self.survival_prob)
