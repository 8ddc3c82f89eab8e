"""Fine-tuning in a notebook: the recipe `finetune` through Keras's `model.fit`."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf import variants
from efficientnet_tf.models import stages
from efficientnet_tf.spelling import ALIKE, did_you_mean
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

    A model that ends in sigmoids is trained with binary cross-entropy, the mean over
    the classes, and its metric is "f1", over all images and labels, in place of
    "accuracy".

    Args:
        model: made by `EfficientNet` with pretrained weights and a new classifier;
            `classifier_activation="sigmoid"` for several labels an image.
        dataset: finite batches of (images, labels): uint8 or float pixels [batch,
            height, width, 3] in [0, 255]; int [batch] or one-hot [batch, classes], or,
            of several labels an image, 0 and 1 [batch, classes].
        validation_data: batches of the same kind; None validates nothing.
        class_weight: factors of the loss by class; None weighs all classes alike, and
            is the one allowed for a model that ends in sigmoids.
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
    several = passport.of(model).multi_label
    if several and class_weight is not None:
        raise ValueError(
            "class_weight: Keras weighs images by one class; allowed is None for a "
            "model that ends in sigmoids"
        )
    train, validation = (
        data and data.map(functools.partial(_one_hot, classes=model.output_shape[-1]))
        for data in (dataset, validation_data)
    )
    steps, batch_size = _size(train)
    config = _config(model, steps * batch_size, batch_size, settings)
    _freeze(model, config)
    features = functools.partial(_features, stages.backbone(model))
    of_train = functools.cache(lambda: features(train))
    classifier_fit.begin(
        model,
        config.classifier_init,
        lambda: (of_train()[0], of_train()[1] if several else of_train()[1].argmax(-1)),
    )
    trained = model
    if config.trains_classifier_only:
        trained = stages.classifier(model)
        train = _batches(of_train(), batch_size)
        validation = validation and _batches(features(validation), batch_size)
    _compile(trained, config, steps * batch_size)
    return trained.fit(
        train,
        validation_data=validation,
        epochs=math.ceil(config.train_epochs),
        shuffle=False,  # the data set is shuffled, or not, by its owner
        class_weight=class_weight,
        callbacks=[EMA(config.moving_average_decay), *callbacks],
        verbose=verbose,
    )


def _one_hot(images: tf.Tensor, labels: tf.Tensor, classes: int) -> Any:
    if labels.shape.rank == 1:
        # The one label of a single sigmoid is there, 1, or not, 0.
        labels = tf.one_hot(labels, classes) if classes > 1 else labels[:, tf.newaxis]
    return images, tf.ensure_shape(tf.cast(labels, tf.float32), [None, classes])


def _size(dataset: tf.data.Dataset) -> tuple[int, int]:
    """Returns a data set's number of batches, and the images of the first one."""
    batches = int(dataset.cardinality())
    if batches == tf.data.UNKNOWN_CARDINALITY:
        batches = sum(1 for _ in dataset)
    if batches == tf.data.INFINITE_CARDINALITY:
        raise ValueError("dataset: has no end; allowed is one epoch, without repeat()")
    if batches == 0:
        raise ValueError("dataset: holds no images")
    return batches, len(next(iter(dataset))[1])


def _config(
    model: keras.Model, images: int, batch_size: int, chosen: Mapping[str, Any]
) -> config_lib.Config:
    """Returns the recipe for a model with the chosen settings, after checking them."""
    variant = passport.of(model).variant
    if variant is None:
        raise ValueError("model: was not built by EfficientNet")
    sections = (Schedule, Optimisation)
    known = {f.name for kind in sections for f in dataclasses.fields(kind)}
    known |= {"classifier_init", "batch_norm", "freeze"}
    for name in chosen.keys() - known:
        hint = did_you_mean(name, known, alike=ALIKE)
        raise ValueError(f"unknown setting {name}{hint}")
    # A network of other blocks keeps the name of the model that it was built from.
    named = variant.name in variants.list_variants() and (
        variant.blocks == variants.get_variant(variant.name).blocks
    )
    # The recipe freezes early stages of networks that it knows.
    defaults = {"train_batch_size": batch_size, "freeze": None if named else "none"}
    return config_lib.create(
        recipe="finetune",
        weights=passport.of(model).source,
        model=variant.name if named else None,
        blocks=None if named else ",".join(variant.blocks),
        dataset="fake",  # which has no facts that would take precedence
        num_classes=model.output_shape[-1],
        multi_label=passport.of(model).multi_label,
        num_train_images=images,
        **{**defaults, **chosen},
    )


def _freeze(model: keras.Model, config: config_lib.Config) -> None:
    if config.batch_norm == "frozen":
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    stages.freeze(model, config.freeze)


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


def _compile(model: keras.Model, config: config_lib.Config, images: int) -> None:
    is_linear = model.layers[-1].activation is keras.activations.linear
    loss, metric = keras.losses.CategoricalCrossentropy, "accuracy"
    if config.multi_label:
        loss = keras.losses.BinaryCrossentropy
        # The logit of 0.5 is 0, which Keras does not take for a threshold.
        threshold = 1e-12 if is_linear else 0.5
        metric = keras.metrics.F1Score("micro", threshold=threshold, name="f1")
    model.compile(
        optimizer.create(
            config.section(Optimisation),
            schedules.create(config.section(Schedule), train_images=images),
            rates=stages.rates(model, decay=config.layer_decay),
        ),
        loss(from_logits=is_linear, label_smoothing=config.label_smoothing),
        metrics=[metric],
    )
