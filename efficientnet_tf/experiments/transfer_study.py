"""Section 5.3 at any size: the same networks fine-tuned and trained from scratch.

The paper goes from ImageNet to eight data sets. The proxy goes from CIFAR-10's test
images to five kinds of flowers, with three widths of the network that tests use.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from efficientnet_tf import config as config_lib
from efficientnet_tf.experiments import trials

PROXY_WIDTHS = (1.0, 1.5, 2.0)
# 64 pixels: twice the size of CIFAR's images, less than half that of the flowers.
_COMMON = {
    "model": "efficientnet-test",
    "image_size": 64,
    "dataset": "folder",
    "lr_decay_epochs": 0.2,
    "moving_average_decay": 0.99,
    "eval_epochs": 5.0,
    "checkpoint_epochs": 20.0,
    "eval_crop": "exact",
}
PRETRAIN = _COMMON | {
    "train_batch_size": 128,
    "train_epochs": 10.0,
    "warmup_epochs": 1.0,
    "augment": "none",
}
FINETUNE = _COMMON | {
    "recipe": "finetune",
    "train_batch_size": 64,
    "train_epochs": 20.0,
    # The recipe with which the published rows were measured, written out.
    "classifier_init": "random",
    "freeze": "none",
    "minival_shards": 0.05,
    "batch_norm": "sync",
    "augment": "none",
    "crop_area_min": 0.08,
    "optimizer": "rmsprop",
    "learning_rate": 0.004,
    "lr_schedule": "exponential",
    "warmup_epochs": 1.0,
    "weight_decay": 1e-5,
    "eval_batch_size": 256,
    "steps_per_loop": 100,
}


def train(
    *,
    pretrain_dir: str,
    data_dir: str,
    root: str,
    widths: Sequence[float] = PROXY_WIDTHS,
    workers: int = 1,
    pretrain: Mapping = PRETRAIN,
    finetune: Mapping = FINETUNE,
) -> list[dict]:
    """Trains each width three times: pretrained, fine-tuned, and from scratch.

    Args:
        pretrain_dir: folder of images by class to pretrain on.
        data_dir: folder of images by class to fine-tune on.
        root: folder of the trainings; the same call continues them.
        widths: floats, width coefficients of the networks.
        workers: int, trainings at a time.
        pretrain: fields of Config of the pretraining.
        finetune: fields of Config of the other two trainings, without `weights`.

    Returns:
        A row for each width: "params" and "macs" (of the fine-tuned network), and top-1
        in percent on validation images: "pretrained" on those of `pretrain_dir`,
        "finetuned" and "scratch" on those of `data_dir`.
    """
    first = {
        f"w{width:g}": config_lib.create(
            **pretrain, data_dir=pretrain_dir, width_coefficient=width
        )
        for width in widths
    }
    before = trials.run(first, root=f"{root}/pretrain", workers=workers)
    second = {}
    for name, config in first.items():
        weights = export_weights(config, f"{root}/pretrain/{name}")
        tuned = config_lib.create(
            **finetune,
            data_dir=data_dir,
            width_coefficient=config.width_coefficient,
            weights=weights,
        )
        second[f"finetune-{name}"] = tuned
        # The same schedule and images from random weights.
        second[f"scratch-{name}"] = dataclasses.replace(
            tuned, recipe="paper", weights=None, weights_skip=None
        )
    after = trials.run(second, root=root, workers=workers)
    return [_row(name, before, after, second) for name in first]


def export_weights(config: config_lib.Config, model_dir: str) -> str:
    """Writes the run's averaged weights to a file; returns its path.

    Args:
        config: the run's configuration.
        model_dir: the run's folder.
    """
    from efficientnet_tf.runs import run_model
    from efficientnet_tf.runs.run_dir import RunDir
    from efficientnet_tf.weights import writing

    path = f"{model_dir}/averaged.weights.h5"
    if not os.path.exists(path):
        writing.save_weights(run_model.of_run(RunDir(model_dir), config), path)
    return path


def _row(name: str, before: dict, after: dict, configs: dict) -> dict:
    config = configs[f"finetune-{name}"]
    count = trials.count(config)
    return {
        "width": config.variant.width,
        "params": count.params,
        "macs": count.macs,
        "pretrained": 100 * before[name]["top_1"],
        "finetuned": 100 * after[f"finetune-{name}"]["top_1"],
        "scratch": 100 * after[f"scratch-{name}"]["top_1"],
    }
