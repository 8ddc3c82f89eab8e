"""Settings of input pipelines for tests: crops and flips alone unless they say more."""

from efficientnet_tf.data import batches
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.data.settings import Augmentation, Labels


def labels(
    num_classes: int, label_offset: int = 0, multi_label: bool = False
) -> Labels:
    return Labels(
        num_classes=num_classes, label_offset=label_offset, multi_label=multi_label
    )


def augmentation(**chosen) -> Augmentation:
    plain = {
        "augment": "none",
        "randaugment_num_layers": 2,
        "randaugment_magnitude": 10.0,
        "mixup_alpha": 0.0,
        "flip": True,
        "crop_area_min": 0.08,
    }
    return Augmentation(**plain | chosen)


def transform(
    preparation: Preparation,
    num_classes: int,
    label_offset: int = 0,
    multi_label: bool = False,
    **chosen,
) -> batches.TrainTransform:
    numbering = labels(num_classes, label_offset, multi_label)
    return batches.TrainTransform(preparation, augmentation(**chosen), numbering)
