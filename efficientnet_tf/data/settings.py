"""The settings of data, images and augmentation; no TensorFlow."""

import dataclasses
from typing import Literal

from efficientnet_tf.data import tfds_table
from efficientnet_tf.settings import (
    FRACTION,
    PROBABILITY,
    Allowed,
    Section,
    at_least,
    setting,
)

MOST_IMAGES = 10_000_000_000  # twice LAION-5B, the largest public set of images
MOST_CLASSES = 1_000_000  # JFT has 30,000; a classifier of B0 would take 5 GB
MOST_PIXELS = 8192  # a side; one image then takes 0.8 GB as float32
MOST_ALPHA = 1000  # from here on, 99% of all mixtures are within 0.03 of the mean

DATASETS = ("digits", "imagenet", "folder", "csv", "fake")
_NEEDS_DIR = {
    "imagenet": "its train-* and validation-* files",
    "folder": "its train and val folders",
    "csv": "its train.csv and val.csv",
}


def _is_dataset(value: str) -> bool:
    return value in DATASETS or tfds_table.name_of(value) is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading(Section):
    """What is where in `data_dir`; another folder may need other values."""

    image_key: str = setting(
        "feature of a record that holds the encoded image",
        default="image/encoded",
    )
    label_key: str = setting(
        "feature of a record that holds the label: a number, or a text whose classes "
        "labels.txt names",
        default="image/class/label",
    )
    first_label: int = setting(
        "smallest number that is a label in records: 1, as in ImageNet's, or 0",
        Allowed("0, 1", lambda value: value in (0, 1)),
        default=1,
    )
    val_fraction: float = setting(
        "share of each class that is kept for validation, chosen by --seed and the "
        "files' names; for one folder of classes, or a train.csv, without validation",
        FRACTION,
        default=0.0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Reading):
    """The images to train and evaluate on; see each field's help."""

    dataset: str = setting(
        "data set to train on; default: the one found in --data_dir",
        Allowed(", ".join((*DATASETS, "tfds:NAME")), _is_dataset, DATASETS),
        default="digits",
    )
    data_dir: str | None = setting(
        "folder of TFRecord files, of images by class, of train.csv and val.csv, or of "
        "tfds; None: the cache of the dataset or of tfds",
        may_change=True,
        default=None,
    )
    num_train_images: int | None = setting(
        "number of images in train-*; None: count them, unless the number is known",
        at_least(1, MOST_IMAGES),
        default=None,
    )
    minival_shards: float = setting(
        "train shards (images, for a folder, CSV files or tfds) held out to pick the "
        "best weights: a count, a fraction if below 1, or 0",
        Allowed(
            f"0, a fraction below 1 or a whole number, at most {MOST_IMAGES}",
            lambda value: (
                0 <= value < 1 or (1 <= value <= MOST_IMAGES and value == int(value))
            ),
        ),
    )
    shuffle_buffer: int = setting(
        "records shuffled at a time", at_least(1, MOST_IMAGES)
    )

    def check_together(self) -> None:
        """Raises ValueError where a folder is missing, or a known count is given."""
        check_folder(self.dataset, self.data_dir)
        in_files = self.dataset in ("folder", "csv")
        is_counted = in_files or tfds_table.name_of(self.dataset)
        if is_counted and self.num_train_images is not None:
            raise ValueError(
                f"num_train_images={self.num_train_images}: the images of a folder or "
                "of CSV files are counted, those of tfds known; leave it out"
            )
        self._check_reading(in_files)

    def _check_reading(self, in_files: bool) -> None:
        if self.val_fraction and not in_files:
            raise ValueError(
                f"val_fraction={self.val_fraction}: allowed is 0 with "
                f"dataset={self.dataset}; folder and csv can be split"
            )
        for field in dataclasses.fields(Reading):
            value = getattr(self, field.name)
            is_of_records = field.name != "val_fraction"
            if is_of_records and value != field.default and self.dataset != "imagenet":
                raise ValueError(
                    f"{field.name}={value}: describes the TFRecords of "
                    f"dataset=imagenet, not dataset={self.dataset}; leave it out"
                )


def check_folder(dataset: str, data_dir: str | None) -> None:
    """Raises ValueError where a data set needs a folder that is not named.

    Args:
        dataset: name of the data set.
        data_dir: its folder, if one is given.
    """
    if dataset in _NEEDS_DIR and data_dir is None:
        raise ValueError(
            f"data_dir is missing: dataset {dataset} needs the folder of "
            f"{_NEEDS_DIR[dataset]}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadRecordPolicy(Section):
    """What a run does about a record or image that it cannot use."""

    on_bad_record: Literal["error", "skip"] = setting(
        "what to do about a record or image that cannot be read or decoded, or has no "
        "valid label: end with one line that names it, or leave it out and list it in "
        "bad_records.csv of the run",
        default="error",
        may_change=True,
    )
    bad_record_limit: float = setting(
        "records that on_bad_record=skip leaves out of a split, on each host, before "
        "it ends the run: a count, or a fraction of the images if below 1",
        Allowed(
            "a fraction above 0 and below 1, or a whole number from 1",
            lambda value: 0 < value < 1 or (value >= 1 and value == int(value)),
        ),
        default=0.01,
        may_change=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caching(Section):
    """What a host keeps in its memory, so that later epochs read no file."""

    cache: Literal["none", "encoded", "decoded"] = setting(
        "what training keeps in each host's memory: encoded, the files as they are, "
        "which helps where disk, network or bucket are slow; decoded, the pixels too, "
        "which helps where decoding is slow, least with JPEGs of halved colour; the "
        "batches stay the same, bit for bit",
        default="none",
        may_change=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(Section):
    """The numbering of the network's outputs and of the data's labels."""

    num_classes: int = setting(
        "number of classes; need not be given for a folder, for CSV files or for the "
        "paper's tfds data sets",
        at_least(1, MOST_CLASSES),
    )
    label_offset: int = setting(
        "classes before the data's first label; 1: a background class",
        at_least(0, MOST_CLASSES),
        default=0,
    )
    multi_label: bool = setting(
        "whether an image may have any number of labels, each with a probability of "
        "its own (a sigmoid); a column labels of CSV files says so",
        default=False,
    )

    def check_together(self) -> None:
        """Raises ValueError where the offset leaves no label, or means nothing."""
        if self.label_offset >= self.num_classes:
            raise ValueError(
                f"label_offset={self.label_offset}: allowed is less than "
                f"num_classes={self.num_classes}"
            )
        if self.multi_label and self.label_offset:
            raise ValueError(
                f"label_offset={self.label_offset}: allowed is 0 with multi_label, "
                "where an image without labels needs no background class"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images(Section):
    """The preparation of an image for evaluation and serving."""

    image_size: int = setting(
        "input height and width in pixels", at_least(8, MOST_PIXELS)
    )
    eval_crop: Literal["padded", "fixed", "exact"] = setting(
        "centre crop: padded takes size/(size+32) of the short side, fixed pads a "
        "seventh of the size in whole pixels, about 0.875; exact takes 0.875"
    )
    resize: Literal["bicubic", "bilinear"] = setting("resampling to the image size")
    exif: bool = setting(
        "turn images upright as their EXIF orientation says; default: on for image "
        "folders and CSV files, off for TFRecords",
        default=False,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation(Section):
    """The random changes that training makes to an image."""

    train_image_size: int | None = setting(
        "height and width of training images in pixels; smaller than --image_size it "
        "saves time, and objects in random crops are then as large as in evaluation "
        "(arXiv 1906.06423); None: --image_size",
        at_least(8, MOST_PIXELS),
        default=None,
    )
    augment: Literal[
        "autoaugment",
        "autoaugment-reduced_cifar10",
        "autoaugment-svhn",
        "randaugment",
        "trivialaugment",
        "none",
    ] = setting("policy that changes training images; autoaugment is v0, of ImageNet")
    augment_on: Literal["host", "device"] = setting(
        "where images are changed; device: at the beginning of the training step",
        default="host",
    )
    randaugment_num_layers: int = setting("operations per image (N)", at_least(1, 100))
    randaugment_magnitude: float = setting(
        "strength (M)", Allowed("0 to 30", lambda value: 0 <= value <= 30)
    )
    mixup_alpha: float = setting("MixUp strength; 0: off", at_least(0, MOST_ALPHA))
    cutmix_alpha: float = setting(
        "CutMix strength; 0: off; with MixUp, each batch gets one of the two",
        at_least(0, MOST_ALPHA),
        default=0.0,
    )
    random_erasing: float = setting(
        "share of images in which a random box is erased",
        Allowed("0 to 1", lambda value: 0 <= value <= 1),
        default=0.0,
    )
    cutout: int = setting(
        "side in pixels of a grey square in every image; 0: off",
        at_least(0, MOST_PIXELS),
        default=0,
    )
    flip: bool = setting("mirror half of the training images")
    crop_area_min: float = setting(
        "smallest share of the image a training crop takes", PROBABILITY
    )
