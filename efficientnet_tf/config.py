"""The settings of a run: all sections joined in one frozen Config.

A setting's value comes from the user's flag, else from a fact of the data or of the
weights, else from the recipe: recipe < facts < flags. The hardware, `model_dir` and
`export_dir` are not part of a Config.
"""

import dataclasses
import functools
import json
from typing import Any, TypeVar

from efficientnet_tf import counting, recipes
from efficientnet_tf import settings as settings_lib
from efficientnet_tf.data import catalogue, detection
from efficientnet_tf.data import settings as data_settings
from efficientnet_tf.models.settings import Network
from efficientnet_tf.settings import choice, listed, setting
from efficientnet_tf.spelling import ALIKE, did_you_mean
from efficientnet_tf.training import settings as training_settings
from efficientnet_tf.weights.settings import StartingWeights

S = TypeVar("S", bound=settings_lib.Section)


_MOST_BATCH_BYTES = 10**12  # 100 times the largest batch of ImageNet, 65,536 images


# Python lists the fields of the last base class first.
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    training_settings.Rhythm,
    training_settings.Optimisation,
    training_settings.Schedule,
    data_settings.Augmentation,
    data_settings.BadRecordPolicy,
    data_settings.Caching,
    data_settings.Data,
    StartingWeights,
    training_settings.Computation,
    data_settings.Labels,
    data_settings.Images,
    Network,
):
    """All settings that decide what a run computes; see each section."""

    recipe: str = setting(
        "training recipe: paper (as on ImageNet), scratch (fewer than 200,000 images), "
        "or finetune (starts from --weights); default: paper or scratch, by the number "
        "of images",
        choice(*recipes.RECIPES),
        default="paper",
    )

    def check_together(self) -> None:
        """Raises ValueError where settings of several sections are wrong together."""
        if self.recipe == "finetune" and self.weights is None:
            raise ValueError(
                "weights is missing: recipe=finetune trains on from a file, a TF1 "
                "checkpoint or a release"
            )
        self._check_sizes()
        self.recomputed_blocks  # noqa: B018, finds them, which is the check
        if self.cache != "none" and self.trains_classifier_only:
            raise ValueError(
                f"cache={self.cache}: allowed is none with freeze={self.freeze}, "
                "which reads the images once and keeps their features"
            )
        if self.early_stopping_evals and not self.minival_shards:
            raise ValueError(
                f"early_stopping_evals={self.early_stopping_evals}: needs held-out "
                "images, so allowed is 0 while minival_shards=0"
            )

    def _check_sizes(self) -> None:
        """Raises ValueError for a network or a batch that no machine has room for."""
        trains_larger = self.train_size > self.image_size
        side = "train_image_size" if trains_larger else "image_size"
        size = max(self.train_size, self.image_size)
        counting.check_size(
            self.variant,
            image_size=size,
            classes=self.num_classes,
            named={
                "network": self.own_network,
                "classes": f"num_classes={self.num_classes}",
                "image_size": f"{side}={size}",
            },
        )
        self._check_batch("train_batch_size", self.train_size)
        self._check_batch("eval_batch_size", self.image_size)

    def _check_batch(self, name: str, side: int) -> None:
        most = _MOST_BATCH_BYTES // (3 * side * side)
        if getattr(self, name) > most:
            raise ValueError(
                f"{name}={getattr(self, name)}: allowed are at most {most} images of "
                f"{side}x{side} pixels, a terabyte"
            )

    def section(self, kind: type[S]) -> S:
        """Returns one section by itself, for code that needs no other."""
        return kind(**{f.name: getattr(self, f.name) for f in dataclasses.fields(kind)})

    @property
    def train_size(self) -> int:
        """Height and width of training images, in pixels."""
        return self.train_image_size or self.image_size

    @functools.cached_property
    def recomputed_blocks(self) -> tuple[str, ...]:
        """Names of the blocks that `recompute` selects and can change."""
        blocks = self.expanded.blocks
        names = [block.name for block in blocks]
        starts = listed(self.recompute)
        for start in starts:
            if not any(name.startswith(start) for name in names):
                raise ValueError(
                    f"recompute={self.recompute}: no block begins with {start!r}; "
                    f"allowed are beginnings of {names[0]} to {names[-1]}"
                )
        chosen = [block for block in blocks if block.name.startswith(starts)]
        found = tuple(block.name for block in chosen if block.can_be_recomputed)
        if chosen and not found:
            raise ValueError(
                f"recompute={self.recompute}: none of these blocks can be "
                "recomputed; allowed are those that expand 1x1 before a depthwise "
                "convolution, or not at all"
            )
        return found


FIELDS = {field.name: field for field in dataclasses.fields(Config)}
# Values of the settings that no recipe has to give.
DEFAULTS = {
    name: field.default
    for name, field in FIELDS.items()
    if field.default is not dataclasses.MISSING
}


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A Config, and where each of its values comes from.

    Args:
        config: the Config.
        origins: origin of each setting: "flag", "fact of ...", "recipe ...", "default".
    """

    config: Config
    origins: dict[str, str]


def create(stated: dict[str, Any] | None = None, **chosen: Any) -> Config:
    """Builds a Config; see `resolve`."""
    return resolve(stated, **chosen).config


def resolve(stated: dict[str, Any] | None = None, **chosen: Any) -> Resolved:
    """Builds a Config from a recipe, facts and the user's choices.

    Where only `data_dir` is chosen, the folder's contents decide `dataset`.

    Args:
        stated: settings by name that a weights file states.
        **chosen: settings; None counts as not chosen.

    Raises:
        ValueError: if a name is unknown or a value not allowed.
    """
    for name in chosen:
        if name not in FIELDS:
            hint = did_you_mean(name, FIELDS, alike=ALIKE)
            raise ValueError(f"unknown setting {name}{hint}")
    chosen = {name: value for name, value in chosen.items() if value is not None}
    check(**chosen)
    stated = stated or {}
    detected = {}
    if "data_dir" in chosen and "dataset" not in chosen:
        detected["dataset"] = detection.detect_dataset(chosen["data_dir"])
    known = DEFAULTS | detected | stated | chosen
    data_settings.check_folder(known["dataset"], known["data_dir"])
    images = known["num_train_images"] or catalogue.train_images(
        known["dataset"],
        known["data_dir"],
        val_fraction=known["val_fraction"],
        seed=known["seed"],
    )
    suited = recipes.suited(known["dataset"], images)
    if "recipe" not in chosen and suited != DEFAULTS["recipe"]:
        known["recipe"] = detected["recipe"] = suited
    file, values = recipes.find(
        known["recipe"], known["model"], known["dataset"], images
    )
    _check_recipe(file, values)
    data = catalogue.facts(
        known["dataset"],
        known["data_dir"],
        num_classes=known.get("num_classes"),
        label_offset=known["label_offset"],
        multi_label=(stated | chosen).get("multi_label"),
        val_fraction=known["val_fraction"],
    )
    layers = [
        ("default", DEFAULTS),
        (f"recipe {file}", values),
        ("fact of the data", detected | data),
        ("fact of the weights", stated),
        ("flag", chosen),
    ]
    origins = {name: origin for origin, layer in layers for name in layer}
    merged = {name: value for _, layer in layers for name, value in layer.items()}
    return Resolved(Config(**merged), {name: origins[name] for name in FIELDS})


def _check_recipe(name: str, values: dict[str, Any]) -> None:
    """Raises ValueError unless a recipe gives every setting that has no default."""
    wanted = FIELDS.keys() - DEFAULTS.keys() - {"num_classes"}
    for missing in sorted(wanted - values.keys()):
        raise ValueError(f"{missing} is missing in the recipe {name}")
    for unknown in sorted(values.keys() - FIELDS.keys()):
        raise ValueError(f"the recipe {name} gives {unknown}, which is not a setting")


def override(saved: Config, **chosen: Any) -> Config:
    """Returns a saved Config with the chosen values; None keeps the saved one.

    Together with another `data_dir`, what is where in it may be chosen anew.

    Raises:
        ValueError: if a choice contradicts what the run was trained with.
    """
    chosen = {name: value for name, value in chosen.items() if value is not None}
    config = dataclasses.replace(saved, **chosen)
    differing = conflicts(saved, config)
    if config.data_dir != saved.data_dir:
        of_folder = {field.name for field in dataclasses.fields(data_settings.Reading)}
        differing = [name for name in differing if name not in of_folder]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{name}={chosen[name]}: the run was trained with {getattr(saved, name)}; "
            "leave it out"
        )
    return config


def dumps(config: Config) -> str:
    """Returns the contents of `config.json`."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def loads(text: str) -> Config:
    """Reads `config.json` without a recipe, so that a new recipe changes no old run.

    Raises:
        ValueError: naming settings that this version does not know, or that it misses.
    """
    values = json.loads(text)
    if "augment_on" not in values and values.get("eval_crop") == "fixed":
        # Earlier versions, which had no augment_on, took 0.875 itself.
        values["eval_crop"] = "exact"
    unknown = sorted(values.keys() - FIELDS.keys())
    if unknown:
        raise ValueError(
            f"unknown settings {', '.join(unknown)}: written by another version?"
        )
    missing = sorted(FIELDS.keys() - DEFAULTS.keys() - values.keys())
    if missing:
        raise ValueError(
            f"settings {', '.join(missing)} are missing: written by another version?"
        )
    return Config(**values)


def conflicts(saved: Config, wanted: Config) -> list[str]:
    """Lists the settings in which a resumed run differs from the one it continues.

    Args:
        saved: the configuration in the run's folder.
        wanted: the configuration that the command asks for.
    """
    return [
        name
        for name, field in FIELDS.items()
        if not field.metadata["may_change"]
        and getattr(saved, name) != getattr(wanted, name)
    ]


def check(**chosen: Any) -> None:
    """Raises ValueError for the first value that is not allowed; None passes."""
    for name, field in FIELDS.items():
        if chosen.get(name) is not None:
            settings_lib.check(field, chosen[name])
