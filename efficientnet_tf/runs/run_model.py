"""Builds the model of a run, or of weights from outside, from a configuration.

Each model takes uint8 pixels [batch, image_size, image_size, 3] and returns logits.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras

from efficientnet_tf import config as config_lib
from efficientnet_tf import label_sets, variants
from efficientnet_tf.data import preparation as preparation_lib
from efficientnet_tf.models import efficientnet, stages
from efficientnet_tf.runs import checkpoint_files, checkpoints, restoring
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.weights import reading
from efficientnet_tf.weights.weights_file import WeightsFile


def create(
    config: config_lib.Config,
    *,
    policy: str = "float32",
    variant: variants.Variant | None = None,
) -> keras.Model:
    """Builds a run's model with random weights.

    Args:
        config: configuration of the run.
        policy: name of a Keras dtype policy.
        variant: the network with the conventions of its weights; None takes the
            configuration's.
    """
    keras.utils.set_random_seed(config.seed)
    with dtype_policy(policy):
        model = efficientnet.EfficientNet(
            variant or config.variant,
            input_shape=(config.image_size, config.image_size, 3),
            classes=config.num_classes,
            classifier_activation=None,
            survival_prob=config.survival_prob,
            dropout_rate=config.dropout_rate,
            batch_norm=config.batch_norm,
        )
    stages.freeze(model, config.freeze)
    _state_preparation(model, config)
    return model


def start_from(
    config: config_lib.Config, weights: WeightsFile, *, policy: str = "float32"
) -> keras.Model:
    """Builds a run's model by the conventions of its starting weights, and loads them.

    Args:
        config: configuration of the run.
        weights: the starting weights.
        policy: name of a Keras dtype policy.
    """
    weights.check_input(include_preprocessing=True)
    variant = weights.adapt(config.variant)
    model = create(config, policy=policy, variant=variant)
    weights.assign(model, skip=config.skipped_weights)
    _state_preparation(model, config)
    return model


def of_weights(
    config: config_lib.Config, weights: WeightsFile, *, policy: str = "float32"
) -> keras.Model:
    """Builds the network that weights belong to and loads them, without training.

    Args:
        config: the configuration that `open_weights` returned.
        weights: the weights that `open_weights` returned.
        policy: name of a Keras dtype policy.
    """
    variant = weights.variant
    if not isinstance(variant, variants.Variant):
        variant = weights.adapt(config.variant)
    model = create(config, policy=policy, variant=variant)
    weights.assign(model)
    return model


def of_run(
    run: RunDir,
    config: config_lib.Config,
    *,
    policy: str = "float32",
    tells: bool = True,
) -> keras.Model:
    """Builds a run's model and loads the weights to serve.

    It prints a line if a checkpoint is damaged and another one is taken.

    Args:
        run: the run's folder.
        config: the folder's configuration; fields that may change may have new values.
        policy: name of a Keras dtype policy.
        tells: whether this host prints that line.

    Returns:
        The model; its passport's `source` is the path of the checkpoint.

    Raises:
        ValueError: if the folder holds no checkpoint, or only damaged ones.
    """
    run.to_serve()  # an empty folder is refused before the model is built
    return _restored(run, config, run.to_serve, policy=policy, tells=tells)


def of_checkpoint(run: RunDir, config: config_lib.Config, path: str) -> keras.Model:
    """Builds a run's model and loads one of its checkpoints.

    Args:
        run: the run's folder.
        config: the folder's configuration.
        path: path of a checkpoint to serve, as a model of `of_run` states it.
    """
    found = checkpoint_files.Checkpoints((checkpoint_files.Found(path),))
    return _restored(run, config, lambda: found, policy="float32")


def _restored(
    run: RunDir,
    config: config_lib.Config,
    find: Callable[[], checkpoint_files.Checkpoints],
    *,
    policy: str,
    tells: bool = True,
) -> keras.Model:
    stated = run.read_passport()
    model = create(config, policy=policy, variant=stated.variant)
    # Found now, because a training may have replaced its best weights meanwhile.
    path = restoring.restore(
        find(),
        lambda path: checkpoints.restore_inference(model, path),
        tells=tells,
    )
    model.passport = dataclasses.replace(
        model.passport, averaged=config.moving_average_decay > 0, source=path
    )
    name_classes(model, stated.class_names)
    return model


def name_classes(model: keras.Model, names: tuple[str, ...] | None) -> None:
    """States in a run's model how its data names the classes.

    Args:
        model: a model that this module built from the run's configuration.
        names: names of the labels, in order; None leaves those of the label set that
            the configuration implies, if any.
    """
    stated = model.passport
    if names in (None, stated.class_names):
        return
    # Other names are another set of labels, such as 1,000 classes of the user's own.
    model.passport = dataclasses.replace(stated, class_names=names, label_set=None)


def open_weights(
    source: str,
    model: str | None = None,
    *,
    ema: bool = True,
    chosen: dict[str, Any] | None = None,
) -> tuple[config_lib.Config, WeightsFile]:
    """Reads weights from outside, to evaluate or serve them.

    Args:
        source: path of a weights file or a TF1 checkpoint, or name of a release.
        model: the network's name; None takes the name that the file states.
        ema: True takes moving averages, False raw weights, if the file has both.
        chosen: fields of Config that the user chose, such as the preparation of images;
            they override the weights' facts. None counts as not chosen.

    Returns:
        A Config from the facts of the weights and the user's choices, and the weights.

    Raises:
        ValueError: if the file cannot be read, if a choice contradicts the weights, or
            if the model is not known.
    """
    variant = None if model is None else variants.get_variant(model)
    weights = reading.read_weights(source, variant, ema=ema)
    weights.check_input(include_preprocessing=True)
    chosen = (chosen or {}) | {"model": model}
    stated = _stated(weights)
    for name in ("weights_skip", "blocks", "width_coefficient", "depth_coefficient"):
        if chosen.get(name) is not None:
            raise ValueError(
                f"{name}={chosen[name]}: the network of the weights is taken as it is; "
                "leave it out"
            )
    if model not in (None, stated.get("model", model)):
        raise ValueError(
            f"weights={source}: holds {stated['model']}, not {model}; leave the model "
            "out"
        )
    if not (model or "model" in stated):
        raise ValueError(
            f"weights={source}: does not say which model it holds; name the model too"
        )
    if not chosen.get("dataset"):
        # "fake" stands for no data set, so that no data set's recipe applies. The
        # images to come are then files, as those of a folder.
        chosen["dataset"] = "fake"
        stated.setdefault("exif", True)
    return config_lib.create(stated, **chosen), weights


def preparation(config: config_lib.Config) -> preparation_lib.Preparation:
    """Returns the preparation of a run's images for evaluation and serving."""
    fraction = preparation_lib.crop_fraction(config.image_size, config.eval_crop)
    return preparation_lib.Preparation(
        config.image_size, fraction, config.resize, config.exif
    )


def _state_preparation(model: keras.Model, config: config_lib.Config) -> None:
    """Writes into the model's passport how the run prepares images and labels."""
    stated = model.passport.variant
    pixels = dataclasses.replace(stated.pixels, resize=config.resize)
    label_sets_of = {"digits": "digits", "imagenet": "imagenet-1k"}
    labels = config.num_classes - config.label_offset
    known = config.dataset != "imagenet" or labels == 1000
    label_set = label_sets_of.get(config.dataset) if known else None
    model.passport = dataclasses.replace(
        model.passport,
        variant=dataclasses.replace(stated, pixels=pixels),
        image_size=config.image_size,
        crop=config.eval_crop,
        exif=config.exif,
        label_offset=config.label_offset,
        multi_label=config.multi_label,
        label_set=label_set,
        class_names=label_sets.names(label_set),
    )


def _stated(weights: WeightsFile) -> dict[str, Any]:
    """Returns the settings that a weights file fixes."""
    if weights.classes is None:
        raise ValueError(f"weights={weights.origin}: has no classifier")
    fields: dict[str, Any] = {
        "num_classes": weights.classes,
        "label_offset": weights.label_offset,
    }
    variant = weights.variant
    name = variant if isinstance(variant, str) else getattr(variant, "name", None)
    if name in variants.list_variants():
        fields["model"] = name
    if weights.passport or weights.multi_label:
        fields["multi_label"] = weights.multi_label
    if weights.passport and isinstance(variant, variants.Variant):
        # A network without a recipe of its own gets the default model's.
        fields.setdefault("model", config_lib.Config.model)
        fields |= {
            "resize": variant.pixels.resize,
            "image_size": weights.passport.image_size,
            "eval_crop": weights.passport.crop or "padded",
        }
        if weights.passport.exif is not None:
            fields["exif"] = weights.passport.exif
    return fields | _beside(weights)


def _beside(weights: WeightsFile) -> dict[str, Any]:
    """Returns the settings of images that are said beside a weights file."""
    names = {"image_size": "image_size", "crop": "eval_crop"}
    told = weights.beside.preparation
    fields = {names[name]: value for name, value in told.items()}
    if "resize" in weights.beside.values:
        fields["resize"] = weights.beside.values["resize"]
    return fields


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras's dtype policy within a `with` block."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
