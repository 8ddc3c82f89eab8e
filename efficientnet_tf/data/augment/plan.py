"""A run's augmentation as a numbered list of actions, with their tables; no TensorFlow.

An action is an operator with its argument and sign. A policy has few of them, so they
are numbered, and a draw of an image is a row of numbers.
"""

import dataclasses
import enum
import functools

import numpy as np

from efficientnet_tf.data.augment import policies, tables
from efficientnet_tf.data.settings import Augmentation

GREY = (128, 128, 128)
# ImageNet's mean colour, which random erasing fills in: RE-M of arXiv 1708.04896.
MEAN_COLOUR = (124, 116, 104)
_GEOMETRIC = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
_BLENDS = ("Color", "Sharpness", "Contrast")


class Kind(enum.IntEnum):
    """How an action is computed; those before CONTRAST change a table of levels."""

    NONE = 0
    POINT = 1  # a table that is known
    EQUALIZE = 2  # a table of the image's histogram
    AUTOCONTRAST = 3
    CONTRAST = 4  # a table of the image's mean grey
    GEOMETRY = 5
    COLOR = 6
    SHARPNESS = 7
    BOX = 8


@dataclasses.dataclass(frozen=True)
class Action:
    """One thing that can happen to an image.

    Args:
        kind: how it is computed.
        values: numbers of the kind: the table of POINT, the transform of GEOMETRY, the
            factor of CONTRAST, COLOR and SHARPNESS, the colour of BOX.
        half_side: int, for Cutout half the square's side in pixels.
    """

    kind: Kind = Kind.NONE
    values: tuple[float, ...] = ()
    half_side: int = 0


class Plan:
    """The actions of a run's augmentation.

    Args:
        chosen: the run's augmentation.
        size: int, height and width of the images in pixels.

    Attributes:
        choices: int32 [alternatives, ..., 2], numbers of the policy's actions, with
            positive and negative sign in the last axis.
        probabilities: float32 [alternatives, layers] of AutoAugment's actions.
        layers: for each layer the kinds of its actions.
    """

    def __init__(self, chosen: Augmentation, size: int):
        self.chosen = chosen
        self.size = size
        self.fill = (0, 0, 0) if chosen.augment == "trivialaugment" else GREY
        self.actions = [Action()]
        self.probabilities = np.zeros([0, 0], np.float32)
        self.choices = self._policy(chosen.augment)
        self.layers = self._policy_layers()
        self.cutout = self.erasing = 0
        if chosen.cutout:
            self.cutout = self._add(_box(GREY, chosen.cutout // 2))
        if chosen.random_erasing:
            self.erasing = self._add(_box(MEAN_COLOUR))
        extra = [number for number in (self.cutout, self.erasing) if number]
        self.layers += [frozenset({Kind.BOX})] * len(extra)

    def _policy(self, name: str) -> np.ndarray:
        if name in policies.AUTOAUGMENT:
            return self._autoaugment(name)
        if name == "randaugment":
            return self._randaugment()
        if name == "trivialaugment":
            return self._trivialaugment()
        return np.zeros([0, 0, 2], np.int32)

    def _autoaugment(self, name: str) -> np.ndarray:
        policy = policies.AUTOAUGMENT[name]
        self.probabilities = np.float32([[p for _, p, _ in row] for row in policy])
        # The original shifts images of every size by up to 250 pixels. The policies for
        # images of 32 pixels were found with up to 10.
        translate = 250 if name == "autoaugment" else self.size * 10 / 32
        return np.int32(
            [
                [
                    self._signed(
                        operator,
                        policies.original_magnitude(
                            operator, level, translate=translate, cutout=100
                        ),
                    )
                    for operator, _, level in row
                ]
                for row in policy
            ]
        )

    def _randaugment(self) -> np.ndarray:
        def action(name: str) -> tuple[int, int]:
            level = self.chosen.randaugment_magnitude
            argument = policies.original_magnitude(
                name, level, translate=100, cutout=40
            )
            if name == "Contrast":
                table = tables.constant_contrast(argument, self.size)
                return (self._add(_point(table)),) * 2
            return self._signed(name, argument)

        return np.int32([[action(name)] for name in policies.RANDAUGMENT])

    def _trivialaugment(self) -> np.ndarray:
        return np.int32(
            [
                [
                    self._signed(name, policies.trivial_magnitude(name, level))
                    for level in range(policies.TRIVIAL_LEVELS)
                ]
                for name in policies.TRIVIALAUGMENT
            ]
        )

    def _signed(self, name: str, argument: float) -> tuple[int, int]:
        """Returns the numbers of an action with its sign positive and negative."""
        positive, negative = (
            self._add(_action(name, sign * argument, self.size))
            for sign in ((1, -1) if name in _GEOMETRIC else (1, 1))
        )
        return positive, negative

    def _add(self, action: Action) -> int:
        if action not in self.actions:
            self.actions.append(action)
        return self.actions.index(action)

    def _policy_layers(self) -> list[frozenset[Kind]]:
        """Returns the kinds of each layer that the policy draws."""
        kinds = np.int32([action.kind for action in self.actions])[self.choices]
        if self.probabilities.size:
            return [_kinds(kinds[:, layer]) for layer in range(kinds.shape[1])]
        layers = {
            "randaugment": self.chosen.randaugment_num_layers,
            "trivialaugment": 1,
        }
        return [_kinds(kinds)] * layers.get(self.chosen.augment, 0)

    @property
    def is_on_device(self) -> bool:
        """Whether images are changed in the training step."""
        return self.chosen.augment_on == "device"

    @functools.cached_property
    def kinds(self) -> np.ndarray:
        """The kind of each action, int32 [actions]."""
        return np.int32([action.kind for action in self.actions])

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """Each action's row in the table of its kind, int32 [actions]."""
        return np.int32([self._of(*_sharing(a.kind)).index(a) for a in self.actions])

    @functools.cached_property
    def half_sides(self) -> np.ndarray:
        """Half the side of each action's square in pixels, int32 [actions]."""
        return np.int32([action.half_side for action in self.actions])

    @functools.cached_property
    def points(self) -> np.ndarray:
        """The tables of POINT, uint8 [rows, 256]."""
        return np.uint8([action.values for action in self._of(Kind.POINT)])

    @functools.cached_property
    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """The parts of all blends' factors: uint32 and float32, [rows] each."""
        actions = self._of(*_BLEND_KINDS)
        parts = [tables.parts(action.values[0]) for action in actions]
        return np.uint32([p for p, _ in parts]), np.float32([s for _, s in parts])

    @functools.cached_property
    def axes(self) -> np.ndarray:
        """The tables of GEOMETRY, float32 [rows, 2, 3, size]."""
        transforms = [np.float32(action.values) for action in self._of(Kind.GEOMETRY)]
        return np.stack([tables.axes(transform, self.size) for transform in transforms])

    @functools.cached_property
    def colours(self) -> np.ndarray:
        """The colours of BOX, uint8 [rows, 3]."""
        return np.uint8([action.values for action in self._of(Kind.BOX)])

    def _of(self, *kinds: Kind) -> list[Action]:
        return [action for action in self.actions if action.kind in kinds]


_BLEND_KINDS = (Kind.CONTRAST, Kind.COLOR, Kind.SHARPNESS)


def _sharing(kind: Kind) -> tuple[Kind, ...]:
    """Returns the kinds whose actions have their rows in the same table."""
    return _BLEND_KINDS if kind in _BLEND_KINDS else (kind,)


def _kinds(numbers: np.ndarray) -> frozenset[Kind]:
    return frozenset(Kind(number) for number in np.unique(numbers))


def _point(table: np.ndarray) -> Action:
    return Action(Kind.POINT, tuple(table.tolist()))


def _box(colour: tuple[int, ...], half_side: int = 0) -> Action:
    return Action(Kind.BOX, colour, half_side)


def _action(name: str, argument: float, size: int) -> Action:
    """Returns an operator's action.

    Args:
        name: name of an operator; its Contrast is that around the image's mean grey.
        argument: float, the operator's argument with its sign.
        size: int, height and width of the images in pixels.
    """
    if name in ("Identity", "Equalize", "AutoContrast"):
        kinds = {"Equalize": Kind.EQUALIZE, "AutoContrast": Kind.AUTOCONTRAST}
        return Action(kinds.get(name, Kind.NONE))
    if name in _BLENDS:
        return Action(Kind[name.upper()], (argument,))
    if name == "Cutout":
        return _box(GREY, int(argument))
    if name in _GEOMETRIC:
        return _geometric(name, argument, size)
    table = {
        "Invert": lambda: tables.invert(),
        "Posterize": lambda: tables.posterize(int(argument)),
        "Solarize": lambda: tables.solarize(int(argument)),
        "SolarizeAdd": lambda: tables.solarize_add(int(argument)),
        "Brightness": lambda: tables.brightness(argument),
    }[name]
    return _point(table())


def _geometric(name: str, argument: float, size: int) -> Action:
    if argument == 0:
        return Action()
    transform = {
        "ShearX": (1, argument, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, argument, 1, 0),
        "TranslateX": (1, 0, argument, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, argument),
    }.get(name)
    if transform is None:
        transform = tables.rotation(argument, size)
    return Action(Kind.GEOMETRY, tuple(np.float32(transform).tolist()))
