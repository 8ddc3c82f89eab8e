"""The page of a report on images with several labels."""

import numpy as np
import pytest
import report_support
from report_support import HOSTILE, Page

from efficientnet_tf.reports import metrics, page, pictures, rows
from efficientnet_tf.training import label_kinds
from efficientnet_tf.training.tables import LabelTable

NAMES = tuple(f"label {number}" for number in range(6))


def predictions(images: int, classes: int, *, skill: float = 3) -> LabelTable:
    """Likely predictions; no image has the last label."""
    rng = np.random.default_rng(0)
    labels = rng.random((images, classes)) < 0.3
    labels[:, -1] = False
    logits = 2 * rng.standard_normal((images, classes), "float32") - skill / 2
    return LabelTable(np.arange(images), labels, logits + np.float32(skill) * labels)


def contents(found, names, **chosen):
    scores = label_kinds.MANY_LABELS.scores_of(found)
    scores |= {"loss": 0.5, "weights": "ema"}
    lines = [
        {"kind": "train", "epoch": 1.0, "loss": 0.7, "f1": 0.1, "learning_rate": 0.1}
    ]
    for epoch, score in ((1.0, 0.25), (2.0, 0.75), (3.0, 0.5)):
        line = {"kind": "eval", "split": "minival", "epoch": epoch, "loss": 0.5}
        lines.append(line | {"mean_average_precision": score, "f1": score / 2})
    return report_support.contents(
        found, names, **{"scores": scores, "history": lines} | chosen
    )


@pytest.fixture(scope="module")
def found():
    return predictions(300, 6)


@pytest.fixture(scope="module")
def shown(found):
    return Page(page.render(contents(found, NAMES)))


def test_the_headline_is_mean_average_precision(shown, found):
    value = f"{found.mean_average_precision:.1%}"
    assert value in shown.words("p")
    assert "".join(shown.words("title")).startswith(f"{value} – ")
    right = int((found.labels == (found.logits >= 0)).all(1).sum())
    low, high = (f"{end:.1%}" for end in metrics.wilson(right, 300))
    assert (
        "The mean over 5 labels of the average precision, on 300 validation images. "
        f"{right} of them have exactly the right labels; the 95% interval is {low} to "
        f"{high} (Wilson, n = 300)."
    ) in shown.words("p")


def test_titles_state_what_was_found(shown, found):
    said = found.logits >= 0
    missed, wrong = (found.labels & ~said).sum(0), (~found.labels & said).sum(0)
    titles = shown.words("h2")
    assert titles[0] == "Held-out mean average precision reached 75.0% at epoch 2"
    assert titles[1] == (
        f"“label {missed.argmax()}” is missed most often, in {missed.max()} of "
        f"{found.labels[:, missed.argmax()].sum()} images; “label {wrong.argmax()}” is "
        f"said wrongly most often, of {wrong.max()} images"
    )
    assert titles[2].startswith("Average precision goes from ")
    average = (1 / (1 + np.exp(-found.logits.astype("float64")))).mean()
    assert titles[3] == (
        f"Labels have a probability of {average:.1%} on average, and "
        f"{found.labels.mean():.1%} of them are there"
    )
    mistakes = int((found.labels != said).sum())
    assert titles[4] == f"The 1 most confident of {mistakes} mistaken labels"
    assert "1 label has no image here and no average precision." in shown.text


def test_the_most_confident_mistakes_are_pairs(found):
    chosen = pictures.most_confident_mistakes(found)
    wrong = found.labels != (found.logits >= 0)
    assert chosen.shape == (24, 2) and wrong[tuple(chosen.T)].all()
    sure = np.abs(found.logits)
    assert sure[tuple(chosen.T)].tolist() == sorted(sure[wrong], reverse=True)[:24]
    unsure = pictures.most_uncertain(found)
    assert sure[tuple(unsure.T)].tolist() == sorted(sure.ravel())[:24]


def test_what_is_not_finite_is_no_mistake(found):
    logits = found.logits.copy()
    logits[:100] = np.finfo("float32").min
    broken = LabelTable(found.numbers, found.labels, logits)
    assert pictures.most_confident_mistakes(broken)[:, 0].min() >= 100
    told = Page(page.render(contents(broken, NAMES)))
    place = told.words("dt").index("images without a finite prediction")
    assert told.words("dd")[place] == "100"


def test_a_perfect_model_has_no_mistakes():
    found = predictions(50, 4, skill=200)
    told = Page(page.render(contents(found, NAMES[:4], mistakes=[], history=[])))
    titles = told.words("h2")
    assert titles[:2] == [
        "No label is missed, and none is said wrongly",
        "Every label has an average precision of 100.0%",
    ]
    assert "There are no mistakes" in titles


def test_many_labels_take_tables_that_say_what_they_leave_out():
    found = predictions(500, 300)
    names = [f"name {number}" for number in range(300)]
    told = Page(page.render(contents(found, names)))
    assert "The first 100 of 299 labels, the lowest average precision" in told.text
    assert "The first 100 of 300 labels with mistakes" in told.text


def test_hostile_names_are_text():
    found = predictions(200, len(HOSTILE))
    text = page.render(contents(found, HOSTILE))
    told = Page(text)
    assert "<script" not in text and "onerror=alert(1)>" not in text
    assert "script" not in told.tags()


def test_rows_join_names(found):
    row = next(rows.of_predictions(found, NAMES, {0: "a.jpg"}))
    said = found.logits[0] >= 0
    assert row["file"] == "a.jpg"
    assert row["true"] == "|".join(np.array(NAMES)[found.labels[0]])
    assert set(row["predicted"].split("|")) - {""} == set(np.array(NAMES)[said])
    *_, last = rows.of_classes(found, NAMES, 0)
    assert (last["images"], last["average_precision"]) == (0, "")
