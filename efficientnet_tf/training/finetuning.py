"""Fine-tuning in a notebook: the recipe `finetune` through Keras's `model.fit`."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import recipes, variants
from efficientnet_tf.models import stages
from efficientnet_tf.spelling import did_you_mean
from efficientnet_tf.training import classifier_fit, optimizer, schedules
from efficientnet_tf.training.callbacks import EMA
from efficientnet_tf.training.settings import Optimisation, Schedule
from efficientnet_tf.weights import passport


def finetune(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    validation_data: tf.data.Dataset | None = None,
    class_weight: Mapping[int, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: Any = "auto",
    **settings: Any,
) -> keras.callbacks.History:
    """Fine-tunes a pretrained model: first its classifier, then all of it.

    Compiles the model, and trains it as `main.py --recipe=finetune` does: the
    classifier is fitted to the features of the images as they are, then all layers are
    trained, with averaged weights and the batch-norm statistics of the pretraining.

    Args:
        model: made by `EfficientNet` with pretrained weights and a new classifier.
        dataset: finite batches of (images, labels): uint8 or float pixels [batch,
            height, width, 3] in [0, 255]; int [batch] or one-hot [batch, classes].
        validation_data: batches of the same kind; None validates nothing.
        class_weight: factors of the loss by class; None weighs all classes alike.
        callbacks: further callbacks of `model.fit`.
        verbose: as in `model.fit`.
        **settings: values in place of the recipe's: `train_epochs`, `learning_rate`
            (per 256 images of a batch), `freeze`, `batch_norm` (any but "frozen" trains
            batch norms), `classifier_init`, and the other settings of
            `training.settings.Schedule` and `Optimisation`, whose `weight_decay` acts
            with "adamw" only.

    Returns:
        Keras's history.

    Raises:
        ValueError: naming a setting that is unknown or not allowed.
    """
    train, validation = (
        data and data.map(functools.partial(_one_hot, classes=model.output_shape[-1]))
        for data in (dataset, validation_data)
    )
    images, batch_size = _size(train)
    values = _values(model, images, {"train_batch_size": batch_size} | settings)
    _freeze(model, values)
    features = functools.partial(_features, stages.backbone(model))
    of_train = functools.cache(lambda: features(train))
    classifier_fit.begin(
        model,
        values["classifier_init"],
        lambda: (of_train()[0], of_train()[1].argmax(-1)),
    )
    trained = model
    if values["freeze"] == "backbone":
        trained = stages.classifier(model)
        train = _batches(of_train(), batch_size)
        validation = validation and _batches(features(validation), batch_size)
    _compile(trained, values, images)
    return trained.fit(
        train,
        validation_data=validation,
        epochs=math.ceil(values["train_epochs"]),
        shuffle=False,  # the data set is shuffled, or not, by its owner
        class_weight=class_weight,
        callbacks=[EMA(values["moving_average_decay"]), *callbacks],
        verbose=verbose,
    )


def _one_hot(images: tf.Tensor, labels: tf.Tensor, classes: int) -> Any:
    if labels.shape.rank == 1:
        labels = tf.one_hot(labels, classes)
    return images, tf.cast(labels, tf.float32)


def _size(dataset: tf.data.Dataset) -> tuple[int, int]:
    """Counts a data set's images, and those of its first batch."""
    sizes = [len(labels) for _, labels in dataset.as_numpy_iterator()]
    if not sizes:
        raise ValueError("dataset: holds no images")
    return sum(sizes), sizes[0]


def _values(
    model: keras.Model, images: int, chosen: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the recipe's values with the chosen ones, after checking them."""
    variant = passport.of(model).variant
    name = variant.name if variant else "efficientnet-b0"
    known = name if name in variants.list_variants() else "efficientnet-b0"
    values = recipes.find("finetune", known, "folder", images)[1] | {"freeze": "none"}
    for setting in chosen:
        if setting not in values:
            hint = did_you_mean(setting, values, always=True)
            raise ValueError(f"unknown setting {setting}{hint}")
    return values | chosen


def _section(kind: Any, values: Mapping[str, Any]) -> Any:
    """Makes a section of settings, which checks its values."""
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: values[name] for name in names if name in values})


def _freeze(model: keras.Model, values: Mapping[str, Any]) -> None:
    if values["batch_norm"] == "frozen":
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    stages.freeze(model, values["freeze"])


def _features(
    backbone: keras.Model, dataset: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 features [images, channels] and labels [images, classes]."""
    compute = tf.function(backbone, autograph=False, reduce_retracing=True)
    batches = [(compute(x, training=False).numpy(), y.numpy()) for x, y in dataset]
    features, labels = zip(*batches, strict=True)
    return np.concatenate(features).astype(np.float32), np.concatenate(labels)


def _batches(arrays: tuple[np.ndarray, np.ndarray], size: int) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    return dataset.shuffle(len(arrays[0])).batch(size)


def _compile(model: keras.Model, values: Mapping[str, Any], images: int) -> None:
    optimisation = _section(Optimisation, values)
    is_linear = model.layers[-1].activation is keras.activations.linear
    model.compile(
        optimizer.create(
            optimisation,
            schedules.create(_section(Schedule, values), train_images=images),
            rates=stages.rates(model, decay=optimisation.layer_decay),
        ),
        keras.losses.CategoricalCrossentropy(
            from_logits=is_linear, label_smoothing=optimisation.label_smoothing
        ),
        metrics=["accuracy"],
    )
