"""What a run trains: one frozen Config, and its derived numbers.

A value is, in rising order of precedence, the field's default, the model's recipe, the
dataset's, that of the way to train (`recipe`; see `recipes.py`), the user's. Where a
run happens (device, folders) is not part of it.
"""

import dataclasses
import difflib
import fractions
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any

from efficientnet_tf import expansion, recipes, variants
from efficientnet_tf.data import detection, tfds_table


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What a field may hold: the words for an error, and the test."""

    words: str
    test: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def _choice(*values: str) -> Allowed:
    return Allowed(", ".join(values), lambda value: value in values, values)


_DATASETS = ("digits", "imagenet", "folder", "fake")


def _is_dataset(value: str) -> bool:
    return value in _DATASETS or tfds_table.name_of(value) is not None


def _at_least(low) -> Allowed:
    return Allowed(f"{low} and more", lambda value: value >= low)


def _above(low) -> Allowed:
    return Allowed(f"more than {low}", lambda value: value > low)


_NEEDS_DIR = {
    "imagenet": "its train-* and validation-* files",
    "folder": "its train and val folders",
}

_FRACTION = Allowed("0 to below 1", lambda value: 0 <= value < 1)
_PROBABILITY = Allowed("above 0, at most 1", lambda value: 0 < value <= 1)
_ANY = Allowed("", lambda value: True)


def _field(default, help: str, allowed: Allowed = _ANY, *, may_change: bool = False):
    """A documented field; `may_change` ones may differ when a run is resumed."""
    metadata = {"help": help, "allowed": allowed, "may_change": may_change}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes; see each field's help.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    # The model.
    model: str = _field(
        "efficientnet-b0", "model name", _choice(*variants.list_variants())
    )
    blocks: str | None = _field(
        None, "block strings, comma-separated, of a network of your own"
    )
    width_coefficient: float | None = _field(
        None, "filter multiplier; None: the model's", _above(0)
    )
    depth_coefficient: float | None = _field(
        None, "repeat multiplier; None: the model's", _above(0)
    )
    image_size: int = _field(224, "input height and width in pixels", _at_least(8))
    num_classes: int = _field(
        1000,
        "number of classes; of a folder and the paper's tfds datasets: known",
        _at_least(1),
    )
    dropout_rate: float = _field(0.2, "dropout before the classifier", _FRACTION)
    survival_prob: float = _field(
        0.8, "stochastic depth: survival of the last block", _PROBABILITY
    )
    activation: str | None = _field(
        None,
        "activation; None: the model's",
        _choice("swish", "relu", "relu6", "hard_swish", "gelu"),
    )
    batch_norm: str = _field(
        "sync",
        "batch statistics over: all replicas, groups of them as the original on large "
        "slices, each replica, or none but the weights' own",
        _choice("sync", "grouped", "local", "frozen"),
    )
    precision: str = _field(
        "auto",
        "compute dtype; auto: bfloat16 on TPU, else float32, whose products an NVIDIA "
        "card computes in TF32 (10 bits of mantissa); float32_no_tf32: all 23 bits",
        _choice("auto", "float32", "float32_no_tf32", "bfloat16"),
    )
    fused: str = _field(
        "auto",
        "train with a forward pass whose gradient moves fewer bytes; auto: on TPU, or "
        "to recompute",
        _choice("auto", "on", "off"),
    )
    recompute: str | None = _field(
        None,
        "blocks whose largest activations the fused pass computes again rather than "
        "keeps: beginnings of their names, comma-separated, such as block1,block2a; "
        "block is all of them",
    )
    weights: str | None = _field(
        None, "weights to start from: a file, a TF1 checkpoint or a release (imagenet)"
    )
    weights_skip: str | None = _field(
        None, "layers not to load, comma-separated, such as predictions"
    )
    weights_ema: bool = _field(
        True, "of a TF1 checkpoint, load the moving averages, not the raw weights"
    )

    # The data.
    dataset: str = _field(
        "digits",
        "dataset to train on; without it, what --data_dir holds",
        Allowed(", ".join((*_DATASETS, "tfds:NAME")), _is_dataset, _DATASETS),
    )
    data_dir: str | None = _field(
        None,
        "folder of TFRecord files, of images by class or of tfds; None: the cache of "
        "the dataset or of tfds",
        may_change=True,
    )
    num_train_images: int | None = _field(
        None, "images in train-*; None: counted, or known", _at_least(1)
    )
    minival_shards: float = _field(
        0.05,
        "train shards (of a folder or tfds: images) held out to pick the best "
        "weights: a count, a fraction if below 1, or 0",
        Allowed(
            "0, a fraction below 1 or a whole number",
            lambda value: 0 <= value < 1 or (value >= 1 and value == int(value)),
        ),
    )
    augment: str = _field(
        "autoaugment",
        "image augmentation",
        _choice("autoaugment", "randaugment", "none"),
    )
    randaugment_num_layers: int = _field(2, "operations per image (N)", _at_least(1))
    randaugment_magnitude: float = _field(
        10.0, "strength (M)", Allowed("0 to 30", lambda value: 0 <= value <= 30)
    )
    mixup_alpha: float = _field(0.0, "MixUp strength; 0: off", _at_least(0))
    flip: bool = _field(True, "mirror half of the training images")
    crop_area_min: float = _field(
        0.08, "smallest share of the image a training crop takes", _PROBABILITY
    )
    eval_crop: str = _field(
        "padded",
        "centre crop: padded takes size/(size+32) of the short side, fixed 0.875",
        _choice("padded", "fixed"),
    )
    resize: str = _field(
        "bicubic", "resampling to the image size", _choice("bicubic", "bilinear")
    )
    label_offset: int = _field(
        0, "classes before the data's first label; 1: a background class", _at_least(0)
    )
    shuffle_buffer: int = _field(16384, "records shuffled at a time", _at_least(1))

    # The recipe.
    recipe: str = _field(
        "paper",
        "how to train: as the paper on ImageNet, or finetune, on from --weights",
        _choice("paper", "finetune"),
    )
    train_batch_size: int = _field(2048, "global batch", _at_least(1))
    eval_batch_size: int = _field(
        1024, "global batch of evaluation", _at_least(1), may_change=True
    )
    train_epochs: float = _field(
        350.0, "passes over the data", _above(0), may_change=True
    )
    learning_rate: float = _field(0.016, "per 256 images of batch", _above(0))
    lr_decay_epochs: float = _field(2.4, "epochs between decays", _above(0))
    lr_decay_rate: float = _field(0.97, "factor of each decay", _PROBABILITY)
    warmup_epochs: float = _field(5.0, "epochs of linear warm-up", _at_least(0))
    rmsprop_decay: float = _field(0.9, "of the mean square", _FRACTION)
    momentum: float = _field(0.9, "of RMSProp", _FRACTION)
    rmsprop_epsilon: float = _field(0.001, "inside the square root", _above(0))
    weight_decay: float = _field(1e-5, "L2 outside batch norm", _at_least(0))
    label_smoothing: float = _field(0.1, "share given to all classes", _FRACTION)
    moving_average_decay: float = _field(
        0.9999, "of the averaged weights; 0: none", _FRACTION
    )
    seed: int = _field(
        0,
        "of every random draw",
        Allowed("0 to 2147483647", lambda value: 0 <= value < 2**31),
    )

    # The rhythm.
    steps_per_loop: int = _field(
        100, "steps per host call", _at_least(1), may_change=True
    )
    checkpoint_epochs: float = _field(
        1.0, "epochs between checkpoints", _above(0), may_change=True
    )
    eval_epochs: float = _field(1.0, "epochs between evaluations", _above(0))
    early_stopping_evals: int = _field(
        0,
        "stop after this many evaluations without a better one; 0: never",
        _at_least(0),
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.dataset in _NEEDS_DIR and self.data_dir is None:
            raise ValueError(
                f"data_dir is missing: dataset {self.dataset} needs the folder "
                f"of {_NEEDS_DIR[self.dataset]}"
            )
        is_counted = self.dataset == "folder" or tfds_table.name_of(self.dataset)
        if is_counted and self.num_train_images is not None:
            raise ValueError(
                f"num_train_images={self.num_train_images}: the images of a folder are "
                "counted, those of tfds known; leave it out"
            )
        if self.recipe == "finetune" and self.weights is None:
            raise ValueError(
                "weights is missing: recipe=finetune trains on from a file, a TF1 "
                "checkpoint or a release"
            )
        if self.label_offset >= self.num_classes:
            raise ValueError(
                f"label_offset={self.label_offset}: allowed is less than "
                f"num_classes={self.num_classes}"
            )
        try:
            self.variant  # noqa: B018, expands the blocks to check them
        except ValueError as error:
            raise ValueError(f"blocks={self.blocks}: {error}") from None
        if self.recompute and self.fused == "off":
            raise ValueError(f"recompute={self.recompute}: needs fused=on or auto")
        self.recomputed_blocks  # noqa: B018, finds them to check the names
        if self.early_stopping_evals and not self.minival_shards:
            raise ValueError(
                f"early_stopping_evals={self.early_stopping_evals}: needs held-out "
                "images, so allowed is 0 while minival_shards=0"
            )

    @property
    def variant(self) -> variants.Variant:
        """The network: the model's table row with what this run changes in it."""
        return expansion.customize(
            self.model,
            blocks=None if self.blocks is None else _listed(self.blocks),
            width=self.width_coefficient,
            depth=self.depth_coefficient,
            activation=self.activation,
        )

    @property
    def skipped_weights(self) -> tuple[str, ...]:
        """Layers that `weights` are not loaded into."""
        return _listed(self.weights_skip)

    @property
    def recomputed_blocks(self) -> tuple[str, ...]:
        """Names of the blocks that `recompute` means, those without use left out."""
        blocks = expansion.expand(self.variant).blocks
        names = [block.name for block in blocks]
        for start in _listed(self.recompute):
            if not any(name.startswith(start) for name in names):
                raise ValueError(
                    f"recompute={self.recompute}: no block begins with {start!r}; "
                    f"allowed are beginnings of {names[0]} to {names[-1]}"
                )
        starts = _listed(self.recompute)
        chosen = [block for block in blocks if block.name.startswith(starts)]
        found = tuple(block.name for block in chosen if block.can_be_recomputed)
        if chosen and not found:
            raise ValueError(
                f"recompute={self.recompute}: none of these blocks can be; allowed are "
                "those that expand 1x1 before a depthwise convolution, or not at all"
            )
        return found

    def steps(self, epochs: float, *, train_images: int) -> int:
        """Whole steps in a number of epochs, at least one."""
        return max(1, int(self._exact_steps(epochs, train_images)))

    def interval(self, epochs: float, *, train_images: int) -> int:
        """Steps between things that happen every so many epochs.

        Rounded up: a run that resumes at an epoch's beginning has little to skip.
        """
        return math.ceil(self._exact_steps(epochs, train_images))

    def _exact_steps(self, epochs: float, train_images: int) -> fractions.Fraction:
        return fractions.Fraction(str(epochs)) * train_images / self.train_batch_size


def _listed(text: str | None) -> tuple[str, ...]:
    """What a comma-separated setting lists."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def create(stated: dict[str, Any] | None = None, **chosen) -> Config:
    """Builds a Config from recipes and the user's choices; None counts as not chosen.

    Where `data_dir` is chosen and `dataset` is not, the folder's contents decide.

    Args:
        stated: what a weights file says of itself; comes before recipes, after choices.
        **chosen: fields of Config.

    Raises:
        ValueError: if a name is unknown or a value not allowed.
    """
    known = [field.name for field in dataclasses.fields(Config)]
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ValueError(f"unknown setting {name!r}; did you mean {near[0]!r}?")
    chosen = {name: value for name, value in chosen.items() if value is not None}
    check(**chosen)
    if "data_dir" in chosen and "dataset" not in chosen:
        chosen["dataset"] = detection.detect_dataset(chosen["data_dir"])
    chosen = (stated or {}) | chosen
    values = recipes.of_model(chosen.get("model", Config.model))
    values |= recipes.of_dataset(chosen.get("dataset", Config.dataset), chosen)
    values |= recipes.WAYS[chosen.get("recipe", Config.recipe)]
    return Config(**(values | chosen))


def override(saved: Config, **chosen) -> Config:
    """A finished run's Config with what may change changed; None counts as not chosen.

    Raises:
        ValueError: if a choice contradicts what the run was trained with.
    """
    chosen = {name: value for name, value in chosen.items() if value is not None}
    config = dataclasses.replace(saved, **chosen)
    differing = conflicts(saved, config)
    if differing:
        name = differing[0]
        raise ValueError(
            f"{name}={chosen[name]}: the run was trained with {getattr(saved, name)}; "
            "leave it out"
        )
    return config


def dumps(config: Config) -> str:
    """The contents of `config.json`."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def loads(text: str) -> Config:
    """Reads `config.json`; recipes play no part, so later ones change no old run."""
    values = json.loads(text)
    known = {field.name for field in dataclasses.fields(Config)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(
            f"unknown settings {', '.join(unknown)}: written by another version?"
        )
    return Config(**values)


def conflicts(saved: Config, wanted: Config) -> list[str]:
    """The settings in which a resumed run would differ from the one it continues."""
    return [
        field.name
        for field in dataclasses.fields(Config)
        if not field.metadata["may_change"]
        and getattr(saved, field.name) != getattr(wanted, field.name)
    ]


def check(**chosen) -> None:
    """Checks values one by one, without a Config to put them in; None passes.

    Raises:
        ValueError: naming the first that is not allowed.
    """
    for field in dataclasses.fields(Config):
        if chosen.get(field.name) is not None:
            _check(field, chosen[field.name])


def _check(field: dataclasses.Field, value):
    kinds = typing.get_args(field.type) or (field.type,)
    if value is None and types.NoneType in kinds:
        return
    allowed = field.metadata["allowed"]
    if not (_has_type(value, kinds[0]) and allowed.test(value)):
        words = allowed.words or f"a {kinds[0].__name__}"
        raise ValueError(
            f"{field.name}={value}: allowed is {words}{_hint(field, value)}"
        )


def _has_type(value, kind: type) -> bool:
    """A float field takes whole numbers too, but nothing infinite."""
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def _hint(field: dataclasses.Field, value) -> str:
    choices = field.metadata["allowed"].choices
    near = difflib.get_close_matches(str(value), choices, n=1)
    return f"; did you mean {near[0]}?" if near else ""
