"""Writes the report of an evaluation: report.html, predictions.csv and classes.csv."""

import dataclasses
import datetime
import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from efficientnet_tf import config as config_lib
from efficientnet_tf import counting, files
from efficientnet_tf.data import places
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports import metrics, page, pictures
from efficientnet_tf.reports.contents import Contents, Photo, Speeds
from efficientnet_tf.runs import metrics as run_metrics
from efficientnet_tf.training.predictions import Predictions, Table

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
    rows = list(prediction_rows(found, names, there))
    files.write_csv(f"{folder}/{PREDICTIONS}", rows)
    rows = list(class_rows(found, names, config.label_offset))
    files.write_csv(f"{folder}/{CLASSES}", rows)
    text = page.render(_contents(evaluated, found, names, there))
    files.write_whole(f"{folder}/{PAGE}", text)
    print(f"report        {folder}/{PAGE}, {PREDICTIONS}, {CLASSES}")
    return f"{folder}/{PAGE}"


def _contents(
    evaluated: Evaluated,
    found: Table,
    names: Sequence[str],
    there: Mapping[int, places.Place],
) -> Contents:
    config, split = evaluated.config, evaluated.predictions.split
    history = read_history(evaluated.model_dir) if evaluated.model_dir else []

    def photos(rows: np.ndarray) -> list[Photo]:
        return pictures.photos(
            rows,
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


def prediction_rows(
    found: Table, names: Sequence[str], there: Mapping[int, places.Place]
) -> Iterator[dict]:
    """Makes a row of each image.

    Args:
        found: the predictions.
        names: names of the model's outputs.
        there: places of the images; an image without one is told by its number.

    Yields:
        "file" (of a record: the file, "#" and the record's number in it, from 0);
        "true", "predicted" and "probability"; "name_2" and "probability_2" of the next
        likeliest class and so on up to 5; "correct", 1 or 0. Where the model answered
        no finite number, predictions are "".
    """
    columns = [("predicted", "probability")]
    columns += [(f"name_{i}", f"probability_{i}") for i in range(2, 6)]
    # Lists, because NumPy's scalars take five times as long.
    rows = zip(
        found.numbers.tolist(),
        found.labels.tolist(),
        found.classes.tolist(),
        found.probabilities.tolist(),
        strict=True,
    )
    for number, label, classes, probabilities in rows:
        told = {"file": str(there.get(number, number)), "true": names[label]}
        ranked = zip(classes, probabilities, strict=True)
        for (name, share), (output, value) in zip(columns, ranked, strict=False):
            told[name] = names[output] if output >= 0 else ""
            told[share] = f"{value:.6f}" if output >= 0 else ""
        yield told | {"correct": int(classes[0] == label)}


def class_rows(found: Table, names: Sequence[str], label_offset: int) -> Iterator[dict]:
    """Makes a row of each class.

    Args:
        found: the predictions.
        names: names of the model's outputs.
        label_offset: int, outputs before the first label.

    Yields:
        "class", as predict numbers it, and "name"; "images" of it, "predicted" as it
        and both ("correct"); "precision", "recall" and "f1", "" where not defined.
    """
    each = metrics.class_scores(found.labels, found.predicted, len(names))
    shares = {"precision": each.precision, "recall": each.recall, "f1": each.f1}
    counted = {n: getattr(each, n) for n in ("images", "predicted", "correct")}
    for i, name in enumerate(names):
        counts = {n: int(count[i]) for n, count in counted.items()}
        told = {
            n: "" if np.isnan(share[i]) else f"{share[i]:.6f}"
            for n, share in shares.items()
        }
        yield {"class": i - label_offset, "name": name} | counts | told


def read_history(model_dir: str) -> list[dict]:
    """Reads the lines of a run's metrics; a line that a kill cut short is left out."""
    lines = []
    for line in (files.read_text(f"{model_dir}/{run_metrics.NAME}") or "").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict)]


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
    """Returns a name for people: a folder of images has no other than its own."""
    if config.dataset != "folder":
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
