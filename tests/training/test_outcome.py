"""Warnings about networks that have learned nothing, by hand-made predictions."""

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.training import label_kinds, outcome, steps

ONE, MANY = label_kinds.ONE_LABEL, label_kinds.MANY_LABELS


def scores_of(predicted, labels, classes) -> dict:
    """What the evaluator tells of these predictions, and of an image of padding."""
    logits = 10 * np.eye(classes, dtype="float32")[[*predicted, 0]]
    batch = {
        "label": tf.constant([*labels, 0]),
        "mask": tf.constant([1.0] * len(labels) + [0.0]),
    }
    sums = ONE.sums(tf.constant(logits), batch)
    evaluator = steps.Evaluator.__new__(steps.Evaluator)  # only adds up
    return evaluator.eval_end(evaluator.eval_reduce({}, sums))


def told(predicted, labels, classes=4) -> list[str]:
    return outcome.warnings(scores_of(predicted, labels, classes), ONE)


def test_shares_are_those_of_the_commonest_label_and_prediction():
    scores = scores_of([1, 1, 1, 2, 0], [0, 0, 1, 2, 3], 4)
    assert scores["examples"] == 5
    assert scores["chance"] == 2 / 5
    assert scores["most_predicted"] == 3 / 5
    assert scores["top_1"] == 2 / 5


BALANCED = [0, 1, 2, 3] * 25


def test_good_scores_say_nothing():
    assert told(BALANCED, BALANCED) == []
    assert told([0, 1, 2, 2] * 25, BALANCED) == []
    mostly_one = [0] * 97 + [1, 2, 3]
    assert told(mostly_one, mostly_one) == []


def test_scores_like_chance_are_told_with_both_numbers():
    # 31 of 100 right, where 25% +- 2 x 4.33% is what luck gives.
    lucky = [label if i < 31 else (label + 1) % 4 for i, label in enumerate(BALANCED)]
    (line,) = told(lucky, BALANCED)
    assert "top_1 31.00% on 100 images" in line
    assert "25.00% (up to 33.66% by luck)" in line
    better = [label if i < 34 else (label + 1) % 4 for i, label in enumerate(BALANCED)]
    assert told(better, BALANCED) == []


def test_one_class_that_takes_all_predictions_is_told_with_its_share():
    chance, share = told([2] * 96 + [0, 1, 3, 3], BALANCED)
    assert "is no better than chance" in chance
    assert "96% of 100 images get the same prediction" in share
    assert "--class_weights" in share


def test_always_the_commonest_class_is_no_better_than_chance():
    (line,) = told([0] * 100, [0] * 90 + [1] * 10)
    assert "top_1 90.00%" in line and "90.00% (up to 96.00% by luck)" in line


@pytest.mark.parametrize(("predicted", "labels"), [([0], [1]), ([0] * 4, [0] * 4)])
def test_a_few_images_say_nothing(predicted, labels):
    assert told(predicted, labels) == []


def many(logits, labels) -> list[str]:
    rows = {
        "numbers": np.arange(len(labels)),
        "labels": np.asarray(labels, "float32"),
        "logits": np.asarray(logits, "float32"),
    }
    found = MANY.scores_of(MANY.table(rows))
    return outcome.warnings(found | {"examples": len(labels)}, MANY)


def test_the_same_labels_for_all_images_are_told():
    labels = [[1, 0], [0, 1], [1, 1], [0, 1]] * 10
    assert many(np.asarray(labels) * 2.0 - 1.0, labels) == []
    chance, share = many([[1.0, -1.0]] * 40, labels)
    # Half and three quarters of the images have the two labels.
    assert "mean_average_precision 62.50%" in chance and "chance, 62.50%" in chance
    assert "100% of 40 images" in share and "right for 25%" in share
