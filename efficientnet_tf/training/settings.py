"""Settings of a run: its computation, schedule, optimisation and intervals."""

import dataclasses
import fractions
import math
from typing import Literal

from efficientnet_tf.settings import (
    FRACTION,
    LISTING,
    MOST_EPOCHS,
    MOST_FLOAT32,
    MOST_STEPS,
    PROBABILITY,
    Allowed,
    Section,
    above,
    at_least,
    setting,
)

# 16 times the largest batch that ImageNet was trained with (65,536, arXiv 1807.11205).
MOST_BATCH = 1_048_576


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computation(Section):
    """The computation of a step: precision, fused pass and seed."""

    precision: Literal["auto", "float32", "float32_no_tf32", "bfloat16"] = setting(
        "compute dtype; auto: bfloat16 on TPU, else float32, whose products an NVIDIA "
        "card computes in TF32 (10 bits of mantissa); float32_no_tf32: all 23 bits",
        default="auto",
    )
    fused: Literal["auto", "on", "off"] = setting(
        "train with a forward pass whose gradient moves fewer bytes (no TPU has run it "
        "yet); off: with Keras's layers; auto: on if --recompute is given, else off, "
        "but one CPU has a pass of its own",
        default="auto",
    )
    recompute: str | None = setting(
        "blocks whose largest activations the fused pass computes again rather than "
        "keeps: beginnings of their names, comma-separated, such as block1,block2a; "
        "block is all of them",
        LISTING,
        default=None,
    )
    seed: int = setting(
        "seed of all random numbers",
        Allowed("0 to 2147483647", lambda value: 0 <= value < 2**31),
        default=0,
    )

    def check_together(self) -> None:
        """Raises ValueError if `recompute` needs the fused pass and it is off."""
        if self.recompute and self.fused == "off":
            raise ValueError(f"recompute={self.recompute}: needs fused=on or auto")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule(Section):
    """The length of a run, and its learning rate."""

    train_batch_size: int = setting("global batch", at_least(1, MOST_BATCH))
    train_epochs: float = setting(
        "passes over the data", above(0, MOST_EPOCHS), may_change=True
    )
    learning_rate: float = setting(
        "learning rate per 256 images of the batch", above(0, MOST_FLOAT32)
    )
    lr_schedule: Literal["exponential", "cosine", "constant"] = setting(
        "learning rate after the warm-up: exponential drops it at intervals, cosine "
        "lets it fall to 0 at the last step",
        default="exponential",
    )
    lr_decay_epochs: float = setting("epochs between decays", above(0, MOST_EPOCHS))
    lr_decay_rate: float = setting(
        "factor of the learning rate at each drop", PROBABILITY
    )
    warmup_epochs: float = setting("epochs of linear warm-up", at_least(0, MOST_EPOCHS))

    def steps(self, epochs: float, *, train_images: int) -> int:
        """Returns the whole steps in a number of epochs, at least one.

        Args:
            epochs: float, passes over the training images.
            train_images: int, images in an epoch.
        """
        return max(1, int(self._exact_steps(epochs, train_images)))

    def interval(self, epochs: float, *, train_images: int) -> int:
        """Returns the steps between two checkpoints or evaluations.

        The number is rounded up, so that a run that resumes at an epoch's beginning has
        few records to skip.

        Args:
            epochs: float, passes over the training images.
            train_images: int, images in an epoch.
        """
        return math.ceil(self._exact_steps(epochs, train_images))

    def warmup_steps(self, *, train_images: int) -> int:
        """Returns the steps in which the learning rate rises.

        Args:
            train_images: int, images in an epoch.
        """
        return int(self.warmup_epochs * train_images / self.train_batch_size)

    def _exact_steps(self, epochs: float, train_images: int) -> fractions.Fraction:
        return fractions.Fraction(str(epochs)) * train_images / self.train_batch_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimisation(Section):
    """The optimizer, regularisation and averages of a step."""

    optimizer: Literal["rmsprop", "sgd", "adamw"] = setting(
        "optimizer: RMSProp as in TF1, SGD with Nesterov momentum, or AdamW",
        default="rmsprop",
    )
    layer_decay: float = setting(
        "factor of the learning rate from each stage of the network to the one before "
        "it, counted from the classifier; 1: one rate",
        PROBABILITY,
        default=1.0,
    )
    rmsprop_decay: float = setting("decay of RMSProp's mean square", FRACTION)
    momentum: float = setting("momentum of RMSProp and SGD", FRACTION)
    rmsprop_epsilon: float = setting(
        "RMSProp's epsilon, added inside the square root", above(0, MOST_FLOAT32)
    )
    weight_decay: float = setting(
        "L2 outside batch norm; with adamw, decay of the kernels at each step as a "
        "share of the learning rate",
        at_least(0, MOST_FLOAT32),
    )
    label_smoothing: float = setting(
        "probability that is spread evenly over all classes", FRACTION
    )
    class_weights: Literal["none", "balanced"] = setting(
        "weights of the classes in the loss: none, or balanced, which gives rare "
        "classes of a folder or of CSV files as much weight as frequent ones",
        default="none",
    )
    recalibration_batches: int = setting(
        "training batches from which batch norm's statistics are computed anew before "
        "an evaluation, for the averaged weights; 0: the averaged statistics stay",
        at_least(0, MOST_STEPS),
        default=0,
    )
    moving_average_decay: float = setting(
        "decay of the weights' moving average; 0: no average", FRACTION
    )

    @property
    def l2(self) -> float:
        """The factor of L2 in the loss; AdamW decays the kernels itself."""
        return 0.0 if self.optimizer == "adamw" else self.weight_decay


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rhythm(Section):
    """The intervals at which a run evaluates, saves and stops, and NaN's effect."""

    eval_batch_size: int = setting(
        "global batch of evaluation", at_least(1, MOST_BATCH), may_change=True
    )
    steps_per_loop: int = setting(
        "steps per host call", at_least(1, MOST_STEPS), may_change=True
    )
    checkpoint_epochs: float = setting(
        "epochs between checkpoints", above(0, MOST_EPOCHS), may_change=True
    )
    eval_epochs: float = setting("epochs between evaluations", above(0, MOST_EPOCHS))
    early_stopping_evals: int = setting(
        "stop after this many evaluations without a better one; 0: never",
        at_least(0, MOST_STEPS),
    )
    nan_policy: Literal["stop", "rollback"] = setting(
        "what a loss or weight that is NaN or infinite does: stop the run, or roll it "
        "back to its last checkpoint with half the learning rate, at most 3 times",
        default="stop",
        may_change=True,
    )
