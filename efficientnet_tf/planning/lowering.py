"""Lowers a run's steps to HLO, the program that XLA compiles for a device."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data.augment import batch as augmented
from efficientnet_tf.hardware import devices
from efficientnet_tf.inference import classifier
from efficientnet_tf.planning import planned_strategy
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import (
    augmentation,
    build,
    checks,
    label_kinds,
    state,
    steps,
)

MakeModel = Callable[[], keras.Model]  # from pixels to float32 logits
STEPS = ("train", "eval", "serve")
# ImageNet's. Only the learning rate depends on it; a step costs the same.
_TRAIN_IMAGES = 1_281_167


@dataclasses.dataclass(frozen=True)
class Step:
    """A step to be lowered or compiled."""

    function: tf.types.experimental.PolymorphicFunction
    inputs: tuple
    batch: int  # images of one replica


def prepare(
    config: Config,
    *,
    step: str,
    replicas: int = 1,
    device: str = "tpu",
    make_model: MakeModel | None = None,
) -> Step:
    """Builds a run's step: the model and, for training, its optimizer and averages.

    Args:
        config: configuration of the run; its batch sizes are global.
        step: one of STEPS; "serve" is the step of a SavedModel on uint8 pixels.
        replicas: int, replicas that take the step together.
        device: "tpu", "gpu" or "cpu"; it decides what precision="auto" means.
        make_model: builds another model in place of the run's, from pixels to float32
            logits; None builds the run's.

    Raises:
        ValueError: if the batch does not divide among the replicas.
    """
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    if replicas > 1:
        strategy = planned_strategy.PlannedStrategy(replicas)
    checks.check_batch_sizes(config, strategy)
    # A SavedModel computes in float32, whatever the run was trained in.
    precision = "float32" if step == "serve" else config.precision
    policy = devices.dtype_policy(precision, device)
    with strategy.scope():
        model = make_model() if make_model else run_model.create(config, policy=policy)
        if step == "train":
            return _train(config, model, strategy)
        builder = {"eval": _evaluate, "serve": _serve}[step]
        return builder(config, model, strategy)


def lower(step: Step) -> bytes:
    """Lowers a step to a serialised HLO module, before XLA optimises it.

    TensorFlow lowers it for the CPU, the one device at hand; what differs between
    devices comes later. Variables are donated: outputs take the place of arguments.
    """
    # No step needs autograph, which takes 8 of B0's 33 s.
    function = tf.function(step.function, jit_compile=True, autograph=False)
    text = function.experimental_get_compiler_ir(*step.inputs)
    return text(stage="hlo_serialized")


def _train(
    config: Config, model: keras.Model, strategy: tf.distribute.Strategy
) -> Step:
    run_state = build.train_state(
        config, train_images=_TRAIN_IMAGES, model=model, evaluations=state.Evaluations()
    )
    trainer = build.trainer_of(
        config, run_state, None, strategy, train_images=_TRAIN_IMAGES
    )
    batch = config.train_batch_size // strategy.num_replicas_in_sync
    labels = tf.TensorSpec([batch, config.num_classes], tf.float32)
    carried = augmented.carried(augmentation.train_transform(config).plan(), batch)

    def step(images: tf.Tensor, labels: tf.Tensor, *values: tf.Tensor) -> Any:
        draws = dict(zip(carried, values, strict=True))
        inputs = {"image": images, "label": labels} | draws
        strategy.run(trainer.replica_step, args=(inputs,))

    images = _images(config.train_size, batch)
    return Step(step, (images, labels, *carried.values()), batch)


def _evaluate(
    config: Config, model: keras.Model, strategy: tf.distribute.Strategy
) -> Step:
    weights = {v.path: v.value for v in model.weights}
    kind = label_kinds.of(config.multi_label)
    evaluator = steps.Evaluator(model, weights, None, strategy=strategy, kind=kind)
    batch = config.eval_batch_size // strategy.num_replicas_in_sync
    labels = tf.TensorSpec([batch], tf.int32)
    if config.multi_label:
        labels = tf.TensorSpec([batch, config.num_classes], tf.float32)
    mask = tf.TensorSpec([batch], tf.float32)

    def step(images: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> Any:
        inputs = {"image": images, "label": labels, "mask": mask}
        return strategy.run(evaluator.replica_step, args=(inputs,))

    return Step(step, (_images(config.image_size, batch), labels, mask), batch)


def _serve(
    config: Config, model: keras.Model, strategy: tf.distribute.Strategy
) -> Step:
    batch = config.eval_batch_size // strategy.num_replicas_in_sync

    def step(images: tf.Tensor) -> Any:
        return classifier.classify(model, images)

    return Step(step, (_images(config.image_size, batch),), batch)


def _images(size: int, batch: int) -> tf.TensorSpec:
    return tf.TensorSpec([batch, size, size, 3], tf.uint8)
