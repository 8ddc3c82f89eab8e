"""What a report tells: plain data, from which `page` makes HTML."""

import dataclasses
from collections.abc import Mapping, Sequence

from efficientnet_tf.training.tables import LabelTable, Table


@dataclasses.dataclass(frozen=True)
class Photo:
    """One image of the galleries.

    Args:
        file: where it is, for people.
        true: name of its class, or of its labels.
        predicted: name of the predicted class, or of the label that is shown.
        probability: float, that of this class.
        picture: the image as the model sees it, as a data: URI.
        map: the same under the map of this class; None if there is no map.
        is_right: whether the prediction is true; two classes may share a name.
        note: what else the prediction is, such as "missed".
    """

    file: str
    true: str
    predicted: str
    probability: float
    picture: str
    map: str | None
    is_right: bool
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Speeds:
    """Speeds that were measured; None where there was too little to measure.

    Args:
        training: float, images per second, the median over the run's loops.
        evaluation: float, images per second after the first batch.
        evaluation_seconds: float, time of the evaluation, with compiling.
    """

    training: float | None
    evaluation: float | None
    evaluation_seconds: float


@dataclasses.dataclass(frozen=True)
class Contents:
    """All that a report tells.

    Args:
        model: name of the network.
        dataset: name of the data set.
        split: name of the split that was evaluated.
        date: date and time, as the page tells them.
        facts: further facts for the top of the page, by name.
        scores: the result of `evaluation.evaluate`.
        table: what was predicted for each image.
        names: names of the model's outputs.
        history: the run's metrics, oldest first; empty for weights from outside.
        mistakes: the most confident mistakes, most confident first.
        uncertain: the least confident predictions, least confident first.
        speeds: measured speeds.
        settings: the configuration by the names of its settings.
        commands: commands that repeat the results, by what they do.
    """

    model: str
    dataset: str
    split: str
    date: str
    facts: Mapping[str, str]
    scores: Mapping
    table: Table | LabelTable
    names: Sequence[str]
    history: Sequence[Mapping]
    mistakes: Sequence[Photo]
    uncertain: Sequence[Photo]
    speeds: Speeds
    settings: Mapping[str, object]
    commands: Mapping[str, str]
