"""Weights that were read from a file, and their strict loading into a model.

Each tensor of the file and of the model must be used, be skipped on request, or be
known to be no weight. Everything is checked before the model changes.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from efficientnet_tf import label_sets, variants
from efficientnet_tf.weights import evidence as evidences
from efficientnet_tf.weights import (
    keras_config,
    model_layout,
    neighbours,
    numeric,
    skips,
)
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.words import shown

# The name of the classifier's bias in each project.
_BIASES = (
    *("predictions/bias", "probs/bias", "conv_preds/bias", "head/dense/bias"),
    *("classifier.bias", "classifier.1.bias", "_fc.bias", "fc.bias"),
)
_SHOWN = 5  # problems in one error
UNCHECKED = "cannot be checked: the file has no digest"


@dataclasses.dataclass(frozen=True)
class Report:
    """What loading did with every tensor."""

    source: str
    project: str  # the project whose names the file has
    loaded: int
    skipped: tuple[str, ...]  # the model's paths that were skipped on request
    unused: tuple[str, ...]  # the file's names that are no weights, or were skipped
    adapted: tuple[str, ...]  # paths whose values were changed to fit, and how
    notes: tuple[str, ...] = ()  # what was chosen where the file left a choice
    # Conventions of the network that the file does not state, and what decided them.
    decided: tuple[str, ...] = ()
    checked: str = UNCHECKED  # or what checked the values, such as "SHA-256"


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """Weights that were read from a file and are not in a model yet."""

    source: str
    project: str
    tensors: dict[str, np.ndarray]  # by the project's names
    names: Callable[[model_layout.Layout], dict[str, str]]
    decode: Callable[[model_layout.Tensor, np.ndarray], np.ndarray]
    # Merges tensors that only this project has into others; returns their names.
    fold: Callable[..., list[str]] = lambda tensors, layout, names: []
    unused: tuple[str, ...] = ()
    averaged: bool | None = None
    network: str | None = None  # the network's name in a TF1 checkpoint
    release: str | None = None  # "efficientnet-b0 imagenet"
    passport: passports.Passport | None = None
    checked: str | None = None  # what checked the values: "SHA-256"; None: nothing
    notes: tuple[str, ...] = ()  # sentences about what was chosen from the file
    config: keras_config.Network | None = None  # of the Keras model that was saved
    # What the config says, see `keras_conventions.read`.
    config_says: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    beside: neighbours.Neighbours = neighbours.NONE

    @property
    def origin(self) -> str:
        """The release or file of the weights, for messages."""
        return self.release or self.source

    @property
    def variant(self) -> str | variants.Variant | None:
        """The network that the file states; None if it states none."""
        if self.passport and self.passport.variant:
            return self.passport.variant
        network = self.beside.network or self.network
        return network if network in variants.list_variants() else None

    @property
    def classes(self) -> int | None:
        """Number of the classifier's outputs; None if the file has no classifier."""
        found = [self.tensors[name] for name in _BIASES if name in self.tensors]
        return found[0].size if found else None

    @property
    def label_offset(self) -> int:
        """Number of outputs before the first label; 1 if there are 1,001 outputs."""
        if self.passport:
            return self.passport.label_offset
        return 1 if self.classes == 1001 else 0

    @functools.cached_property
    def evidence(self) -> evidences.Evidence:
        """All that tells which network the weights belong to."""
        return evidences.Evidence(
            project=self.project,
            tensors=self.tensors,
            passport=self.passport,
            config=self.config,
            config_says=self.config_says,
            beside=self.beside,
            is_release=self.release is not None,
        )

    @property
    def multi_label(self) -> bool:
        """Whether the outputs are independent sigmoids; False if it is not known."""
        return self.evidence.multi_label

    @property
    def label_set(self) -> str | None:
        """Name of the set of labels; None if it is not known."""
        if self.passport:
            return self.passport.label_set
        if self.release is None:
            return None
        return "imagenet-21k" if self.release.endswith("21k") else "imagenet-1k"

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the labels; None if they are not known."""
        stated = self.passport.class_names if self.passport else None
        return stated or label_sets.names(self.label_set)

    def adapt(self, variant: variants.Variant) -> variants.Variant:
        """Returns the variant with the conventions of the weights' origin.

        Raises:
            ValueError: if the file states another network.
        """
        try:
            return self.evidence.adapt(variant)
        except ValueError as error:
            raise ValueError(f"{self.origin}: {error}") from None

    def assign(
        self, model: keras.Model, *, skip: Sequence[str] = (), part: bool = False
    ) -> None:
        """Assigns the weights to a model, or raises and leaves the model as it was.

        The model's `load_report` then says what happened to every tensor.

        Args:
            model: a model that this package built.
            skip: layers ("predictions"), blocks ("block7a") or paths of the model, and
                layers of the file, not to load.
            part: True allows tensors in the file that the model has no place for.

        Raises:
            ValueError: naming every tensor that does not fit, or a convention that
                the model does not follow.
        """
        self.check_input(include_preprocessing=evidences.model_normalises(model))
        layout = model_layout.layout(model)
        names = {tensor.path: tensor.path for tensor in layout.others}
        names |= self.names(model_layout.with_classifier(layout))
        tensors = dict(self.tensors)
        skipped, file_only = skips.chosen(self.origin, names, tensors, skip)
        unused = list(self.unused)
        unused += _take(
            tensors,
            lambda name: (
                name.startswith("normalization/") and name not in names.values()
            ),
        )
        folded = self.fold(tensors, layout, names)
        adapted = [f"{name}: taken off the moving mean" for name in folded]
        skipped_names = {names[path] for path in skipped} | file_only
        unused += _take(tensors, lambda name: name in skipped_names)

        whole = layout.tensors + layout.others
        wanted = [tensor for tensor in whole if tensor.path not in skipped]
        loaded, problems = {}, []
        for tensor in wanted:
            try:
                value = self._value(tensor, names[tensor.path], tensors, adapted)
            except _DoesNotFit as problem:
                problems.append(str(problem))
            else:
                loaded[tensor.path] = value
        if part:
            unused += _take(tensors, lambda name: True)
        problems += [
            f"{shown(name)} {value.shape}: the model has no place for it"
            for name, value in tensors.items()
        ]
        hint = skips.hint(problems, names, tensors) if problems else ""
        problems = problems or self.evidence.differences(
            model, names, skipped, part=part
        )
        if problems:
            raise ValueError(self._complaint(model, problems, hint))
        for path, variable in model_layout.variables(model).items():
            if path in loaded:
                variable.assign(loaded[path])
        left = tuple(t.path for t in whole if t.path in skipped)
        report = Report(
            self.origin,
            self.project,
            len(loaded),
            left,
            tuple(unused),
            tuple(adapted),
            self.notes,
            self.evidence.decided(passports.of(model)),
            self.checked or UNCHECKED,
        )
        self._stamp(model, report)

    def check_input(self, *, include_preprocessing: bool) -> None:
        """Checks that a network may be fed as the one that was saved.

        Args:
            include_preprocessing: whether the network normalises pixels itself.

        Raises:
            ValueError: if the network normalises pixels, but the saved one took
                normalised images.
        """
        if include_preprocessing and self.evidence.normalises is False:
            raise ValueError(
                f"{self.origin}: its network takes images that are normalised already. "
                "Commands do not normalise them; in Python, build it with "
                "include_preprocessing=False and normalise them as in its training"
            )

    def _value(
        self, tensor: model_layout.Tensor, name: str, tensors: dict, adapted: list[str]
    ) -> np.ndarray:
        """Removes a tensor from `tensors` and returns its value in our axes.

        A value that had to be adapted is recorded in `adapted`.
        """
        if name not in tensors:
            raise _DoesNotFit(f"{tensor.path} {tensor.shape}: the file has no {name}")
        value = self.decode(tensor, tensors.pop(name))
        problem = numeric.problem(tensor.variable, value) if tensor.is_float else None
        if problem:
            raise _DoesNotFit(f"{tensor.path}: {shown(name)} {problem}")
        if tensor.path == "stem_conv/kernel" and _fits_but_for_channels(value, tensor):
            adapted.append(f"{tensor.path}: from 3 channels to {tensor.shape[2]}")
            value = _adapt_channels(value, tensor.shape[2])
        if value.shape != tensor.shape:
            raise _DoesNotFit(f"{tensor.path} {tensor.shape}: {name} is {value.shape}")
        return value

    def _complaint(self, model: keras.Model, problems: list[str], hint: str) -> str:
        some = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return (
            f"{self.origin} ({self.project}) does not fit {model.name}: "
            f"{some}{more}{hint}"
        )

    def _stamp(self, model: keras.Model, report: Report) -> None:
        """Stores report and passport on the model."""
        model.load_report = report
        stated = passports.of(model)
        told: dict[str, Any] = {"averaged": self.averaged}
        if self.passport:
            told = {
                name: getattr(self.passport, name)
                for name in ("image_size", "crop", "averaged")
            }
        else:
            told |= self.beside.preparation
        if "predictions/kernel" not in report.skipped:
            for name in ("label_set", "label_offset", "class_names"):
                told[name] = getattr(self, name)
            # A model that ends in sigmoids has them whatever the file says.
            told["multi_label"] = stated.multi_label or self.multi_label
        model.passport = dataclasses.replace(
            stated, **told, source=self.origin, skipped=report.skipped
        )


def print_notes(report: Report | None) -> None:
    """Prints what was chosen from a file, what decided, and if nothing checked it.

    It goes to stderr, because stdout is for results.

    Args:
        report: a model's `load_report`; None prints nothing.
    """
    if report is None:
        return
    unchecked = [f"its values {UNCHECKED}"] if report.checked == UNCHECKED else []
    for note in (*report.notes, *report.decided, *unchecked):
        print(f"{report.source}: {note}", file=sys.stderr, flush=True)


class _DoesNotFit(Exception):
    """One tensor of the model that the file does not fill."""


def _take(tensors: dict, wanted: Callable[[str], bool]) -> list[str]:
    """Removes the wanted tensors and returns their names."""
    names = [name for name in tensors if wanted(name)]
    for name in names:
        del tensors[name]
    return names


def _fits_but_for_channels(value: np.ndarray, tensor: model_layout.Tensor) -> bool:
    rows, columns, channels, filters = tensor.shape
    return channels != 3 and value.shape == (rows, columns, 3, filters)


def _adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Adapts an RGB stem's kernel, [rows, columns, 3, filters], to other channels.

    One channel gets the sum of the three, which gives the same output for grey pixels.
    Several channels get the three in turn, times 3 / channels to keep the sum's size.
    """
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    return kernel[:, :, np.arange(channels) % 3] * np.float32(3 / channels)
