"""Writes the report of an evaluation: report.html, predictions.csv and classes.csv."""

import dataclasses
import datetime
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efficientnet_tf import config as config_lib
from efficientnet_tf import counting, files
from efficientnet_tf.data import places
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports import page, pictures, rows
from efficientnet_tf.reports.contents import Contents, Photo, Speeds
from efficientnet_tf.runs import metrics as run_metrics
from efficientnet_tf.training.predictions import Predictions
from efficientnet_tf.training.tables import LabelTable, Table

PAGE, PREDICTIONS, CLASSES = "report.html", "predictions.csv", "classes.csv"


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """An evaluation, and what it was of.

    Args:
        config: its configuration.
        classifier: the model that was evaluated, to draw its maps.
        scores: the result of `evaluation.evaluate`.
        predictions: what was predicted for each image.
        commands: commands that repeat it, by what they do.
        model_dir: folder of the run, for its metrics; None for weights from outside.
    """

    config: config_lib.Config
    classifier: Classifier
    scores: Mapping[str, Any]
    predictions: Predictions
    commands: Mapping[str, str]
    model_dir: str | None = None


def write(folder: str, evaluated: Evaluated) -> str:
    """Writes the page and the two tables into a folder, and prints where they are.

    Args:
        folder: local folder or gs:// URL.
        evaluated: the evaluation.

    Returns:
        The path of the page.
    """
    config, predictions = evaluated.config, evaluated.predictions
    found = predictions.table()
    names = evaluated.scores["class_names"]
    there = places.places(predictions.split, shards=predictions.shards)
    told = rows.of_predictions(found, names, there)
    files.write_csv(f"{folder}/{PREDICTIONS}", told)
    told = rows.of_classes(found, names, config.label_offset)
    files.write_csv(f"{folder}/{CLASSES}", told)
    text = page.render(_contents(evaluated, found, names, there))
    files.write_whole(f"{folder}/{PAGE}", text)
    print(f"report        {folder}/{PAGE}, {PREDICTIONS}, {CLASSES}")
    return f"{folder}/{PAGE}"


def _contents(
    evaluated: Evaluated,
    found: Table | LabelTable,
    names: Sequence[str],
    there: Mapping[int, places.Place],
) -> Contents:
    config, split = evaluated.config, evaluated.predictions.split
    history = run_metrics.read(evaluated.model_dir) if evaluated.model_dir else []

    def photos(shown: np.ndarray) -> list[Photo]:
        return pictures.photos(
            shown,
            found,
            split=split,
            there=there,
            classifier=evaluated.classifier,
            names=names,
        )

    return Contents(
        model=config.model + (" with other blocks" if config.blocks else ""),
        dataset=_dataset(config),
        split=split.name,
        date=datetime.datetime.now(datetime.UTC).strftime("%-d %B %Y, %H:%M UTC"),
        facts=_facts(config, evaluated.scores),
        scores=evaluated.scores,
        table=found,
        names=names,
        history=history,
        mistakes=photos(pictures.most_confident_mistakes(found)),
        uncertain=photos(pictures.most_uncertain(found)),
        speeds=_speeds(history, evaluated.predictions),
        settings={name: getattr(config, name) for name in config_lib.FIELDS},
        commands=evaluated.commands,
    )


def _facts(config: config_lib.Config, scores: Mapping[str, Any]) -> dict[str, str]:
    counted = counting.count(
        config.variant, image_size=config.image_size, classes=config.num_classes
    )
    facts = {
        "data set": config.dataset,
        "data folder": config.data_dir or "the default",
        "classes": f"{config.num_classes - config.label_offset:,}",
        "image size": _sizes(config),
        "parameters": f"{counted.params:,}",
        "MACs": f"{counted.macs:,}",
        "weights": str(scores["weights"]),
    }
    if "checkpoint" in scores:
        facts["checkpoint"] = "/".join(scores["checkpoint"].split("/")[-2:])
    return facts


def _sizes(config: config_lib.Config) -> str:
    size = f"{config.image_size} pixels"
    if config.train_size != config.image_size:
        size += f", {config.train_size} in training"
    return size


def _dataset(config: config_lib.Config) -> str:
    """Returns a name for people: files of images have that of their folder."""
    if config.dataset not in ("folder", "csv"):
        return config.dataset.removeprefix("tfds:")
    return os.path.basename(os.path.abspath(config.data_dir or ""))


def _speeds(history: Sequence[Mapping], predictions: Predictions) -> Speeds:
    measured = [line.get("images_per_second") for line in history]
    known = [speed for speed in measured if isinstance(speed, int | float)]
    return Speeds(
        training=statistics.median(known) if known else None,
        evaluation=predictions.images_per_second,
        evaluation_seconds=predictions.seconds,
    )
