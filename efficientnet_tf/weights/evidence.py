"""Which network a file's weights belong to: all that tells it, and what it tells."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from efficientnet_tf import variants
from efficientnet_tf.weights import (
    conventions,
    keras_config,
    keras_conventions,
    neighbours,
)
from efficientnet_tf.weights import passport as passports

# Fields of a variant that decide which network it is.
_NETWORK = (
    *("width", "depth", "blocks", "stem_filters", "stem_kernel", "stem_pool"),
    *("head_filters", "head_shrinks", "scale_ends", "experts"),
    *("divisor", "keep_90_percent"),
)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What tells which network weights belong to.

    Args:
        project: the project whose names the weights have.
        tensors: the weights by the project's names.
        passport: the file's; it decides everything alone.
        config: the Keras config in the file.
        config_says: what it says, see `keras_conventions.read`.
        beside: what is said beside the file.
        is_release: whether the weights are a known release.
    """

    project: str
    tensors: Mapping[str, np.ndarray]
    passport: passports.Passport | None
    config: keras_config.Network | None
    config_says: Mapping[str, Any]
    beside: neighbours.Neighbours
    is_release: bool = False

    @property
    def normalises(self) -> bool | None:
        """Whether the network normalises pixels itself; None if it is not stated."""
        if self._stated:
            return self.passport.include_preprocessing if self.passport else None
        return self.config_says.get("include_preprocessing")

    @property
    def multi_label(self) -> bool:
        """Whether the outputs are independent sigmoids; False if it is not known."""
        if self.passport:
            return self.passport.multi_label
        return bool(self.config and keras_conventions.ends_in_sigmoids(self.config))

    def adapt(self, variant: variants.Variant) -> variants.Variant:
        """Returns the variant with the conventions of the weights' origin.

        Args:
            variant: the network that is wanted; without blocks if they are not known.

        Raises:
            ValueError: if the weights are of another network.
        """
        stated = self._stated
        if stated is None:
            return conventions.settle(variant, self._statements(variant))
        if variant.blocks:
            check_same_network(variant, stated)
        else:
            conventions.check_activation(stated.activation, variant)
        changes = {name: getattr(stated, name) for name in conventions.FIELDS}
        return dataclasses.replace(variant, **changes)

    def decided(self, built: passports.Passport) -> tuple[str, ...]:
        """Says what decided the conventions that the file does not state itself.

        Args:
            built: passport of a new model that was built to `adapt`'s variant.
        """
        sentences: tuple[str, ...] = ()
        if built.include_preprocessing is False and self.normalises:
            sentences = ("include_preprocessing=False: by the caller, it has some",)
        if self._stated and self.normalises is None:  # an older version's passport
            sentences += ("include_preprocessing=True: assumed, it does not say",)
        if built.variant is None or self._stated or self.is_release:
            return sentences
        statements = self._statements(built.variant)
        sentences += tuple(conventions.decided(built.variant, statements))
        return sentences + self.beside.notes

    def differences(
        self,
        model: keras.Model,
        names: Mapping[str, str],
        skipped: Collection[str],
        *,
        part: bool,
    ) -> list[str]:
        """Lists the layers that compute something else in the model than in the file.

        Args:
            model: a model of this package's layers.
            names: the file's name of each weight by its path in the model.
            skipped: paths whose layers do not count.
            part: whether the model may lack layers of the file.
        """
        if self.config is None:
            return []
        pairs = ((path.split("/"), name.split("/")) for path, name in names.items())
        theirs = {ours[0]: name[0] for ours, name in pairs if len(name) == 2}
        left = {path.split("/")[0] for path in skipped}
        ours = keras_config.of_model(model)
        try:
            found = keras_conventions.differences(self.config, ours, theirs, part=part)
        except ValueError as error:
            return [str(error)]
        return [problem for layer, problem in found.items() if layer not in left]

    @property
    def _stated(self) -> variants.Variant | None:
        return self.passport.variant if self.passport else None

    def _statements(self, variant: variants.Variant) -> list[conventions.Statement]:
        return [
            conventions.Statement("", self.config_says),
            *conventions.of_tensors(self.tensors),
            *self.beside.statements(variant),
            *conventions.of_project(variant, self.project),
        ]


def model_normalises(model: keras.Model) -> bool:
    """Whether a model normalises pixels itself; True if nothing says so.

    Args:
        model: any model of this package's layers.
    """
    stated = passports.of(model).include_preprocessing
    if stated is None and passports.of(model).variant is None:
        network = _described(model)
        stated = _told(model, network).get("include_preprocessing")
    return stated is not False


def _told(model: keras.Model, network: keras_config.Network | None) -> dict[str, Any]:
    """Reads what a model's layers state; an error names the model."""
    try:
        return keras_conventions.read_all(network, {})
    except ValueError as error:
        raise ValueError(f"model {model.name}: {error}") from None


def _described(model: keras.Model) -> keras_config.Network | None:
    try:
        return keras_config.find(keras_config.parse(model.to_json()))
    except NotImplementedError:  # a subclass of Model, which has no config
        return None


def of_layers(model: keras.Model) -> variants.Variant:
    """Describes a model that has no passport by its layers, without its blocks.

    Args:
        model: a model of this package's layers, such as Keras loads.

    Raises:
        ValueError: naming a layer that does what no network of this package does.
    """
    network = _described(model) or keras_config.of_model(model)
    bare = variants.Variant(model.name, 1.0, 1.0, 0, 0.0, ())
    told = _told(model, network)
    bare = dataclasses.replace(bare, activation=told.get("activation", bare.activation))
    return conventions.settle(bare, [conventions.Statement("", told)])


def check_same_network(wanted: variants.Variant, stated: variants.Variant) -> None:
    """Raises ValueError if two networks differ in more than conventions.

    Args:
        wanted: the network that is asked for.
        stated: the network that a file states.
    """
    for field in _NETWORK:
        asked, has = getattr(wanted, field), getattr(stated, field)
        if field == "blocks":
            asked, has = map(conventions.common_blocks, (asked, has))
        if asked == has:
            continue
        if wanted.name != stated.name:
            raise ValueError(f"holds {stated.name}, not {wanted.name}")
        raise ValueError(
            f"holds {stated.name} with {field}={has}, not with {field}={asked}"
        )
    conventions.check_activation(stated.activation, wanted)
