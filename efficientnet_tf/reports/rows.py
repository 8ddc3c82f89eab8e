"""Rows of a report's predictions.csv and classes.csv."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from efficientnet_tf.data import label_csv, places
from efficientnet_tf.reports import metrics
from efficientnet_tf.training.tables import LabelTable, Table

_Places = Mapping[int, places.Place]


def of_predictions(
    found: Table | LabelTable, names: Sequence[str], there: _Places
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
        no finite number, predictions are "". Of several labels an image, "true",
        "predicted" and "probability" hold any number, separated by "|"; there is no
        next likeliest.
    """
    if isinstance(found, LabelTable):
        return _of_label_predictions(found, names, there)
    return _of_class_predictions(found, names, there)


def _of_class_predictions(
    found: Table, names: Sequence[str], there: _Places
) -> Iterator[dict]:
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


def _of_label_predictions(
    found: LabelTable, names: Sequence[str], there: _Places
) -> Iterator[dict]:
    join = label_csv.SEPARATOR.join
    rows = zip(found.numbers.tolist(), found.labels, found.probabilities, strict=True)
    for (number, labels, shares), said in zip(rows, found.predicted, strict=True):
        outputs = np.flatnonzero(said)
        outputs = outputs[np.argsort(-shares[outputs], kind="stable")]
        yield {
            "file": str(there.get(number, number)),
            "true": join(names[i] for i in np.flatnonzero(labels)),
            "predicted": join(names[i] for i in outputs),
            "probability": join(f"{shares[i]:.6f}" for i in outputs),
            "correct": int((labels == said).all()),
        }


def of_classes(
    found: Table | LabelTable, names: Sequence[str], label_offset: int
) -> Iterator[dict]:
    """Makes a row of each class.

    Args:
        found: the predictions.
        names: names of the model's outputs.
        label_offset: int, outputs before the first label.

    Yields:
        "class", as predict numbers it, and "name"; "images" of it, "predicted" as it
        and both ("correct"); "precision", "recall" and "f1", "" where not defined; of
        several labels an image "average_precision" too.
    """
    each = metrics.scores_of(found, len(names))
    shares = {"precision": each.precision, "recall": each.recall, "f1": each.f1}
    if isinstance(found, LabelTable):
        shares["average_precision"] = found.average_precision
    counted = {n: getattr(each, n) for n in ("images", "predicted", "correct")}
    for i, name in enumerate(names):
        counts = {n: int(count[i]) for n, count in counted.items()}
        told = {
            n: "" if np.isnan(share[i]) else f"{share[i]:.6f}"
            for n, share in shares.items()
        }
        yield {"class": i - label_offset, "name": name} | counts | told
