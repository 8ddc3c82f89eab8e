"""The headline of a report: its leading score, in figures and in words."""

import dataclasses

from efficientnet_tf.reports import charts, metrics
from efficientnet_tf.reports.contents import Contents
from efficientnet_tf.reports.markup import Markup, count, percent
from efficientnet_tf.training.tables import LabelTable, Table


@dataclasses.dataclass(frozen=True)
class Headline:
    """The leading score.

    Args:
        value: the score as a percentage.
        name: its name.
        told: sentences about it.
        chart: a chart of it; empty where there is none.
        facts: further scores by name.
    """

    value: str
    name: str
    told: str
    chart: Markup
    facts: dict[str, str]


def of(contents: Contents) -> Headline:
    """Makes the headline of a report.

    Args:
        contents: all that the page tells.
    """
    if isinstance(contents.table, LabelTable):
        return _of_labels(contents, contents.table)
    return _of_classes(contents, contents.table)


def _of_classes(contents: Contents, found: Table) -> Headline:
    """Tells the accuracy."""
    total, correct = len(found.labels), int(found.correct.sum())
    low, high = metrics.wilson(correct, total)
    interval = f"{percent(low, of=total)} to {percent(high, of=total)}"
    told = (
        f"{correct:,} of {count(total, contents.split + ' image')} "
        f"{'is' if total == 1 else 'are'} classified correctly. The 95% interval is "
        f"{interval} (Wilson, n = {total:,})."
    )
    label = f"95% interval from {interval}"
    chart = charts.interval(low, correct / total, high, label=label)
    facts = {}
    if found.classes.shape[1] < len(contents.names):  # else it is always 100%
        facts["top-5 accuracy"] = percent(contents.scores["top_5"], of=total)
    value = percent(contents.scores["top_1"], of=total)
    return Headline(value, "top-1 accuracy", told, chart, facts)


def _of_labels(contents: Contents, found: LabelTable) -> Headline:
    """Tells the mean average precision, which has no simple interval."""
    scores = contents.scores
    total, correct = len(found.labels), int(found.correct.sum())
    labels = count(int(found.labels.any(0).sum()), "label")
    low, high = metrics.wilson(correct, total)
    told = (
        f"The mean over {labels} of the average precision, on "
        f"{count(total, contents.split + ' image')}. {correct:,} of them "
        f"{'has' if correct == 1 else 'have'} exactly the right labels; the 95% "
        f"interval is {percent(low, of=total)} to {percent(high, of=total)} (Wilson, "
        f"n = {total:,})."
    )
    facts = {
        "F1 over all labels": percent(scores["f1"], of=total),
        "exactly right": percent(scores["exact_match"], of=total),
    }
    value = percent(scores["mean_average_precision"], of=total)
    return Headline(value, "mean average precision", told, Markup(), facts)
