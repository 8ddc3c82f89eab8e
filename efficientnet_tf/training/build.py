"""From a Config to the objects a run is made of; the one place that takes it apart."""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf import expansion, variants
from efficientnet_tf.data import batches, preprocess, sources, tfrecord
from efficientnet_tf.hardware import devices
from efficientnet_tf.models import efficientnet
from efficientnet_tf.training import fused, optimizer, run_dir, state, steps
from efficientnet_tf.weights import checkpoint as checkpoints


def open_source(config: config_lib.Config) -> sources.Files | sources.Fake:
    """The run's data, found and checked."""
    return sources.open_source(
        config.dataset,
        config.data_dir,
        num_classes=config.num_classes - config.label_offset,
        minival_shards=config.minival_shards,
        num_train_images=config.num_train_images,
    )


def model(
    config: config_lib.Config,
    *,
    policy: str = "float32",
    variant: variants.Variant | None = None,
) -> keras.Model:
    """The run's model with random weights and with logits for outputs.

    Args:
        config: the run's.
        policy: name of a Keras dtype policy.
        variant: the network as weights want it; None takes the configuration's.
    """
    keras.utils.set_random_seed(config.seed)
    with _dtype_policy(policy):
        built = efficientnet.EfficientNet(
            variant or config.variant,
            input_shape=(config.image_size, config.image_size, 3),
            classes=config.num_classes,
            classifier_activation=None,
            survival_prob=config.survival_prob,
            dropout_rate=config.dropout_rate,
            batch_norm=config.batch_norm,
        )
    _state(built, config)
    return built


def _state(built: keras.Model, config: config_lib.Config) -> None:
    """Says in the model's passport how the run prepares its images and labels."""
    stated = built.passport.variant
    pixels = dataclasses.replace(stated.pixels, resize=config.resize)
    label_sets = {"digits": "digits", "imagenet": "imagenet-1k"}
    labels = config.num_classes - config.label_offset
    known = config.dataset != "imagenet" or labels == 1000
    built.passport = dataclasses.replace(
        built.passport,
        variant=dataclasses.replace(stated, pixels=pixels),
        image_size=config.image_size,
        crop=config.eval_crop,
        label_offset=config.label_offset,
        label_set=label_sets.get(config.dataset) if known else None,
    )


def stated(checkpoint: checkpoints.Checkpoint) -> dict:
    """The fields of Config that a weights file fixes.

    Raises:
        ValueError: if it has no classifier.
    """
    if checkpoint.classes is None:
        raise ValueError(f"weights={checkpoint.origin}: has no classifier")
    fields = {
        "num_classes": checkpoint.classes,
        "label_offset": checkpoint.label_offset,
    }
    variant = checkpoint.variant
    name = variant if isinstance(variant, str) else getattr(variant, "name", None)
    if name in variants.list_variants():
        fields["model"] = name
    if isinstance(variant, variants.Variant):
        # Of a network by another name, the recipe is any.
        fields.setdefault("model", config_lib.Config.model)
        fields |= {
            "resize": variant.pixels.resize,
            "image_size": checkpoint.passport.image_size,
            "eval_crop": checkpoint.passport.crop or "padded",
        }
    return fields


def finished_model(
    config: config_lib.Config,
    checkpoint: checkpoints.Checkpoint,
    *,
    policy: str = "float32",
) -> keras.Model:
    """The network that weights are of, to be used as it is, with logits for outputs."""
    variant = checkpoint.variant
    if not isinstance(variant, variants.Variant):
        variant = checkpoint.adapt(config.variant)
    built = model(config, policy=policy, variant=variant)
    checkpoint.assign(built)
    return built


def pretrained_model(
    config: config_lib.Config,
    checkpoint: checkpoints.Checkpoint,
    *,
    policy: str = "float32",
) -> keras.Model:
    """The run's model with weights to start from, built as they want it."""
    built = model(config, policy=policy, variant=checkpoint.adapt(config.variant))
    checkpoint.assign(built, skip=config.skipped_weights)
    _state(built, config)
    return built


def preparation(config: config_lib.Config) -> dict:
    """The keyword arguments that export and predictions prepare images with."""
    return {
        "image_size": config.image_size,
        "crop_fraction": crop_fraction(config),
        "resize": config.resize,
    }


def schedule(config: config_lib.Config, *, train_images: int) -> optimizer.LearningRate:
    """The run's learning rate, a function of the step."""
    return optimizer.LearningRate(
        batch_size=config.train_batch_size,
        train_images=train_images,
        base=config.learning_rate,
        decay_epochs=config.lr_decay_epochs,
        decay_rate=config.lr_decay_rate,
        warmup_epochs=config.warmup_epochs,
    )


def train_state(
    config: config_lib.Config,
    *,
    train_images: int,
    model: keras.Model,
    evaluations: state.Evaluations,
) -> state.TrainState:
    """Model, optimizer and averages; call in the strategy's scope."""
    rmsprop = optimizer.RMSprop(
        schedule(config, train_images=train_images),
        rho=config.rmsprop_decay,
        momentum=config.momentum,
        epsilon=config.rmsprop_epsilon,
        name="rmsprop",
    )
    return state.TrainState(
        model,
        rmsprop,
        evaluations=evaluations,
        ema_decay=config.moving_average_decay,
    )


def trainer(
    config: config_lib.Config,
    state: state.TrainState,
    source: sources.Files | sources.Fake,
    strategy: tf.distribute.Strategy,
) -> steps.Trainer:
    """The step and the data that follows the state's step."""
    consumed = int(state.step.numpy()) * config.train_batch_size
    transform = batches.TrainTransform(
        image_size=config.image_size,
        num_classes=config.num_classes,
        label_offset=config.label_offset,
        resize=config.resize,
        crop_area_min=config.crop_area_min,
        eval_fraction=crop_fraction(config),
        flip=config.flip,
        augment=config.augment,
        randaugment_num_layers=config.randaugment_num_layers,
        randaugment_magnitude=config.randaugment_magnitude,
        mixup_alpha=config.mixup_alpha,
    )

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return source.train(
            transform,
            batch_size=context.get_per_replica_batch_size(config.train_batch_size),
            seed=config.seed,
            start=consumed // context.num_input_pipelines,
            shuffle_buffer=config.shuffle_buffer,
            shard=_shard(context),
        )

    return trainer_of(
        config,
        state,
        strategy.distribute_datasets_from_function(dataset),
        strategy,
        train_images=source.splits.train.images,
        device=devices.kind(strategy),
    )


def trainer_of(
    config: config_lib.Config,
    state: state.TrainState,
    dataset,
    strategy: tf.distribute.Strategy,
    *,
    train_images: int,
    device: str,
) -> steps.Trainer:
    """The step, on data of one's own; `device` as `devices.kind` says it."""
    return steps.Trainer(
        state,
        dataset,
        strategy=strategy,
        batch_size=config.train_batch_size,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        learning_rate=schedule(config, train_images=train_images),
        seed=config.seed,
        forward=_forward(config, state.model, device=device),
    )


def _forward(config: config_lib.Config, model: keras.Model, *, device: str):
    """The fused forward pass, or None where Keras's own is to be used."""
    by_itself = device == "tpu" or config.recompute is not None
    if config.fused == "off" or (config.fused == "auto" and not by_itself):
        return None
    network = expansion.expand(
        model.passport.variant, survival_prob=config.survival_prob
    )
    return fused.forward(model, network, recompute=config.recomputed_blocks)


def evaluator(
    config: config_lib.Config,
    model: keras.Model,
    weights: dict[str, tf.Variable],
    source: sources.Files | sources.Fake,
    split: tfrecord.Split,
    strategy: tf.distribute.Strategy,
) -> steps.Evaluator:
    """The evaluation of `weights`, by variable path, on one split."""

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return source.evaluate(
            split,
            image_size=config.image_size,
            num_classes=config.num_classes,
            label_offset=config.label_offset,
            resize=config.resize,
            crop_fraction=crop_fraction(config),
            batch_size=context.get_per_replica_batch_size(config.eval_batch_size),
            shard=_shard(context),
        )

    return steps.Evaluator(
        model,
        weights,
        strategy.distribute_datasets_from_function(dataset),
        strategy=strategy,
    )


def crop_fraction(config: config_lib.Config) -> float:
    """The share of the image's short side that evaluation and serving keep."""
    return preprocess.crop_fraction(config.image_size, config.eval_crop)


def trained_model(config: config_lib.Config, *, model_dir: str) -> keras.Model:
    """A run's model with the weights to serve and with logits for outputs.

    Raises:
        ValueError: if the folder holds no checkpoint.
    """
    path = run_dir.inference_checkpoint(model_dir)
    trained = model(config, variant=run_dir.read_variant(model_dir))
    state.restore_inference(trained, path)
    trained.passport = dataclasses.replace(
        trained.passport, averaged=config.moving_average_decay > 0, source=path
    )
    return trained


def check_batch_sizes(
    config: config_lib.Config, strategy: tf.distribute.Strategy
) -> None:
    """Raises ValueError unless both batches divide among the replicas."""
    replicas = strategy.num_replicas_in_sync
    for name in ("train_batch_size", "eval_batch_size"):
        size = getattr(config, name)
        if size % replicas:
            raise ValueError(
                f"{name}={size}: allowed is a multiple of the {replicas} devices"
            )


def _shard(context: tf.distribute.InputContext) -> batches.Shard:
    return batches.Shard(context.input_pipeline_id, context.num_input_pipelines)


@contextlib.contextmanager
def _dtype_policy(name: str):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
