"""The augmentation of a training batch: drawn on the host, applied there or later.

On the host images are changed in the input pipeline. On the device the batch carries
the draws, and `in_step` changes the images at the beginning of the training step.
"""

from typing import Any

import tensorflow as tf

from efficientnet_tf.data.augment import application, draws, mixing
from efficientnet_tf.data.augment.plan import Plan

Batch = dict[str, tf.Tensor]


def example(image: tf.Tensor, seed: tf.Tensor, plan: Plan) -> Batch:
    """Augments an image, or draws what the device will do to it.

    Args:
        image: uint8 [size, size, 3], cropped and mirrored.
        seed: integer [2].
        plan: the run's actions.

    Returns:
        "image", and "draw" where the device has to apply it.
    """
    if not plan.layers:
        return {"image": image}
    draw = draws.draw(seed, plan)
    if plan.is_on_device:
        return {"image": image, "draw": draw}
    return {"image": application.on_host(image, draw, plan)}


def mixed(batch: Batch, seed: tf.Tensor, plan: Plan) -> Batch:
    """Mixes the images of a batch, or draws how the device will; mixes the labels.

    Args:
        batch: "image", "label" and perhaps "draw".
        seed: integer [2].
        plan: the run's actions.
    """
    chosen = plan.chosen
    if not mixing.is_chosen(chosen):
        return batch
    drawn = mixing.draw(seed, batch["image"].shape[0], plan.size, chosen)
    batch = batch | {"label": mixing.mix_labels(batch["label"], drawn)}
    if plan.is_on_device:
        return batch | {name: drawn[name] for name in ("weight", "box")}
    return batch | {"image": mixing.mix_images(batch["image"], drawn, chosen)}


def drawn(batch: Batch, plan: Plan) -> Batch:
    """Draws what the device will do to images that no pipeline reads.

    Args:
        batch: "image" and "label".
        plan: the run's actions.
    """
    count = batch["image"].shape[0]
    seeds = tf.stack([tf.zeros([count], tf.int64), tf.range(count, dtype=tf.int64)], 1)
    if plan.layers:
        made = [draws.draw(seed, plan) for seed in tf.unstack(seeds)]
        batch = batch | {"draw": tf.stack(made)}
    return mixed(batch, seeds[0], plan)


def in_step(batch: Batch, plan: Plan, *, device: str) -> Batch:
    """Applies what was drawn for a batch; the first thing in a training step.

    Args:
        batch: a batch of one replica, as the functions above return it.
        plan: the run's actions.
        device: "cpu", "gpu" or "tpu", the device that takes the step.

    Returns:
        "image" and "label".
    """
    apply = application.on_cpu if device == "cpu" else application.on_device

    def change(batch: Batch) -> tf.Tensor:
        images = batch["image"]
        if "draw" in batch:
            images = apply(images, batch["draw"], plan)
        if "weight" in batch:
            images = mixing.mix_images(images, batch, plan.chosen)
        return images

    if device == "gpu":
        # TensorFlow's own kernels compute int32 on the CPU, with copies there and back.
        change = tf.function(change, jit_compile=True, autograph=False)
    values = {name: value for name, value in batch.items() if name != "label"}
    return {"image": change(values), "label": batch["label"]}


def carried(plan: Plan, count: int) -> dict[str, Any]:
    """Returns the specifications of what a batch carries besides images and labels.

    Args:
        plan: the run's actions.
        count: int, images in the batch.
    """
    found = {}
    if plan.is_on_device and plan.layers:
        found["draw"] = tf.TensorSpec([count, len(plan.layers), 5], tf.int32)
    if plan.is_on_device and mixing.is_chosen(plan.chosen):
        found["weight"] = tf.TensorSpec([count], tf.float32)
        found["box"] = tf.TensorSpec([count, 4], tf.int32)
    return found
