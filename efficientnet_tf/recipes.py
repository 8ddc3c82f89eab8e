"""What each model and dataset is trained with, and each way to train: no TensorFlow.

Values are of fields of `config.Config`, which says in what order they take precedence.
"""

from typing import Any

from efficientnet_tf import variants
from efficientnet_tf.data import folder, tfds_table


def of_model(model: str) -> dict[str, Any]:
    """What the paper and the released code train a model with.

    Sources: paper section 5.2; RandAugment magnitudes from tensorflow/tpu README.
    """
    row = variants.get_variant(model)
    magnitudes = {
        "efficientnet-b5": 17.0,
        "efficientnet-b7": 28.0,
        "efficientnet-b8": 28.0,
    }
    return {
        "image_size": row.resolution,
        "dropout_rate": row.dropout,
        "survival_prob": row.survival_prob,
        "resize": row.pixels.resize,
        "augment": "autoaugment",
        "randaugment_magnitude": magnitudes.get(model, 10.0),
    }


def _labels(chosen: dict[str, Any]) -> int | None:
    """How many labels the data has to have, if the choices say it."""
    classes = chosen.get("num_classes")
    return None if classes is None else classes - chosen.get("label_offset", 0)


def of_dataset(dataset: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """What a dataset is trained with; the classes of a folder are counted.

    Args:
        dataset: `Config.dataset`.
        chosen: the user's fields of Config.

    Raises:
        ValueError: if the number of classes chosen is not the data's, or unknown.
    """
    tfds_name = tfds_table.name_of(dataset)
    if tfds_name:
        return _tfds_recipe(tfds_name, chosen)
    if dataset == "folder" and "data_dir" in chosen:
        layout = folder.find_layout(chosen["data_dir"], num_classes=_labels(chosen))
        return {"num_classes": len(layout.classes) + chosen.get("label_offset", 0)}
    return _DATASETS.get(dataset, {})


def _tfds_recipe(name: str, chosen: dict[str, Any]) -> dict[str, Any]:
    row = tfds_table.find(name)
    labels = _labels(chosen)
    if row is None and labels is None:
        raise ValueError(
            f"num_classes is missing: dataset=tfds:{name} is not among those whose "
            f"classes are known, {', '.join(tfds_table.ROWS)}"
        )
    if row is None:
        return {}
    if labels not in (None, row.classes):
        raise ValueError(
            f"num_classes={chosen['num_classes']}: dataset=tfds:{name} has "
            f"{row.classes} classes; the two must agree"
        )
    return {"num_classes": row.classes + chosen.get("label_offset", 0)}


_DATASETS = {
    # The paper holds out 25,022 images; 20 of the 1,024 shards hold exactly that.
    "imagenet": {"minival_shards": 20},
    "fake": {"minival_shards": 0, "train_epochs": 1.0, "augment": "none"},
    # 8x8 pixels of grey, 1,437 for training: little to crop, nothing to mirror.
    "digits": {
        "image_size": 32,
        "num_classes": 10,
        "augment": "none",
        "flip": False,
        "crop_area_min": 0.7,
        "eval_crop": "fixed",
        "train_batch_size": 64,
        "eval_batch_size": 120,
        "train_epochs": 45.0,
        "survival_prob": 0.9,
        # At 0.016 B0 unlearns between steps 100 and 600; at 0.004 it does not.
        "learning_rate": 0.004,
        # The rate falls to 3% in 45 epochs. At 1.0 it falls to 25%, and where training
        # ends is chance: 99.7% on one machine, 96.7% on another.
        "lr_decay_epochs": 0.4,
        "steps_per_loop": 20,
        "eval_epochs": 5.0,
        "checkpoint_epochs": 5.0,
    },
}


WAYS = {
    "paper": {},
    # Paper section 5.3 refers to Kornblith et al. (arXiv 1805.08974): SGD, its learning
    # rate sought for each data set, crops and flips alone. Here RMSProp stays, and
    # the stairs of 0.97 take its rate to 5% within the run.
    "finetune": {
        "weights_skip": "predictions",
        "augment": "none",
        "train_batch_size": 256,
        "eval_batch_size": 256,
        "train_epochs": 50.0,
        # At 0.016 B0 unlearns the digits. efficientnet-test took it: from CIFAR-10 to
        # five flowers in 108 steps it came to 58%, at 0.004 to 53%.
        "learning_rate": 0.004,
        "lr_decay_epochs": 0.5,
        "warmup_epochs": 1.0,
        "eval_epochs": 5.0,
        "checkpoint_epochs": 5.0,
    },
}


# Fields of Config whose default depends on the model, the dataset or the recipe.
FIELDS = frozenset(of_model(variants.list_variants()[0])).union(
    *_DATASETS.values(), *WAYS.values()
)
