"""The paper's training of an EfficientNet on ImageNet (arXiv 1905.11946 section 5.2).

python main.py --model=efficientnet-b0 --data_dir=IMAGENET --model_dir=runs/b0

Data: ImageNet as TFRecords, 1,281,167 images in 1,024 shards; 20 shards are held out.
Hardware: a TPU slice; the released code names v3-8 to v3-32 for B0.
Published: top-1 77.1% for B0 to 84.3% for B7 (table 2). Not trained here.
"""

from typing import Any

from efficientnet_tf import variants


def recipe(model: str, dataset: str, images: int | None) -> dict[str, Any]:
    """Returns every value; they do not depend on the data."""
    del dataset, images
    row = variants.get_variant(model)
    return {
        # Network: the model's own values.
        "dropout_rate": row.dropout,
        "survival_prob": row.survival_prob,
        "batch_norm": "sync",
        "weights_skip": None,
        # Images.
        "image_size": row.resolution,
        "eval_crop": "padded",  # the released accuracies were measured with it
        "resize": row.pixels.resize,
        # Augmentation. RandAugment's magnitudes: README of tensorflow/tpu efficientnet.
        "augment": "autoaugment",
        "randaugment_num_layers": 2,
        "randaugment_magnitude": _MAGNITUDES.get(model, 10.0),
        "mixup_alpha": 0.0,
        "flip": True,
        "crop_area_min": 0.08,
        # Data.
        "minival_shards": 0.05,
        "shuffle_buffer": 16384,
        # Schedule.
        "train_batch_size": 2048,
        "train_epochs": 350.0,
        "learning_rate": 0.016,
        "lr_decay_epochs": 2.4,
        "lr_decay_rate": 0.97,
        "warmup_epochs": 5.0,
        # Optimisation.
        "rmsprop_decay": 0.9,
        "momentum": 0.9,
        "rmsprop_epsilon": 0.001,
        "weight_decay": 1e-5,
        "label_smoothing": 0.1,
        "moving_average_decay": 0.9999,
        # Intervals.
        "eval_batch_size": 1024,
        "steps_per_loop": 100,
        "checkpoint_epochs": 1.0,
        "eval_epochs": 1.0,
        "early_stopping_evals": 0,
    }


_MAGNITUDES = {
    "efficientnet-b5": 17.0,
    "efficientnet-b7": 28.0,
    "efficientnet-b8": 28.0,
}
