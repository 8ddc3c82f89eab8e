"""Losses and scores of both kinds of labels, against formulas in NumPy."""

import networks
import numpy as np
import pytest
import tensorflow as tf
from label_support import average_precision
from sklearn import metrics

import efficientnet_tf as en
from efficientnet_tf import config as config_lib
from efficientnet_tf.training import label_kinds, objective
from efficientnet_tf.training.settings import Optimisation
from efficientnet_tf.training.tables import LabelTable

MANY, ONE = label_kinds.MANY_LABELS, label_kinds.ONE_LABEL
WEIGHTS = [0.5, 1.0, 4.0, 9.0]


@pytest.fixture
def drawn():
    """Logits and labels of 6 images and 4 classes, two of which were mixed."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 4)) * 2
    labels = (rng.random((6, 4)) < 0.4).astype("float64")
    labels[:2] = 0.7 * labels[:2] + 0.3 * labels[2:4]
    return logits, labels


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_several_labels_and_its_gradient(drawn, weights, smoothing):
    logits, labels = drawn
    target = labels * (1 - smoothing) + smoothing / 2
    positive = np.ones(4) if weights is None else np.array(weights)
    each = -positive * target * np.log(sigmoid(logits))
    each -= (1 - target) * np.log(1 - sigmoid(logits))
    slope = (1 - target) * sigmoid(logits) - positive * target * sigmoid(-logits)
    given = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = MANY.cross_entropy(
            given, tf.constant(labels, tf.float32), smoothing=smoothing, weights=weights
        )
    assert loss.shape == (6,)
    np.testing.assert_allclose(loss, each.mean(1), rtol=1e-5)
    gradient = tape.gradient(loss, given)
    np.testing.assert_allclose(gradient, slope / 4, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [-90.0, 90.0])
def test_the_loss_of_large_logits_is_finite(size):
    logits, labels = tf.fill([1, 2], size), tf.constant([[0.0, 1.0]])
    (loss,) = MANY.cross_entropy(logits, labels, smoothing=0.0, weights=None)
    assert float(loss) == pytest.approx(45.0)


def test_the_objective_is_the_mean_over_all_replicas_images(drawn):
    logits, labels = drawn
    config = config_lib.create(label_smoothing=0.0, weight_decay=0.0)
    made = objective.PaperObjective(
        en.EfficientNet(networks.own(networks.ONE), classes=4),
        config.section(Optimisation),
        batch_size=12,
        replicas=2,
        kind=MANY,
        class_weights=WEIGHTS,
    )
    given = (tf.constant(array, tf.float32) for array in (logits, labels))
    losses = made.losses(*given)
    each = -np.array(WEIGHTS) * labels * np.log(sigmoid(logits))
    each -= (1 - labels) * np.log(1 - sigmoid(logits))
    assert losses.keys() == {"cross_entropy"}
    expected = each.mean(1).sum() / 12
    assert float(losses["cross_entropy"]) == pytest.approx(expected, rel=1e-5)


def test_balanced_weights():
    # Positives then weigh as much as negatives, 30 images; none and all stay as is.
    assert MANY.class_weights([10, 15, 1, 0, 30], 30) == [2.0, 1.0, 29.0, 1.0, 1.0]
    found = ONE.class_weights([0, 10, 15, 5], 30)
    assert found == pytest.approx([0, 1, 2 / 3, 2])
    assert np.dot(found, [0, 10, 15, 5]) == pytest.approx(30)


def test_training_scores_are_those_of_all_steps(drawn):
    logits, labels = drawn
    sums = {"hits": 0.0, "of": 0.0}
    for part in (slice(0, 2), slice(2, 6)):
        given = (tf.constant(array[part], tf.float32) for array in (logits, labels))
        found = MANY.step_sums(*given)
        sums = {name: total + float(found[name]) for name, total in sums.items()}
    expected = metrics.f1_score(labels >= 0.5, logits >= 0, average="micro")
    assert MANY.step_scores(sums) == {"f1": pytest.approx(expected)}
    assert MANY.step_scores({"hits": 0.0, "of": 0.0}) == {"f1": 0.0}
    given = [tf.constant(array, tf.float32) for array in (logits, labels)]
    right = np.mean(logits.argmax(1) == labels.argmax(1))
    found = {name: float(value) for name, value in ONE.step_sums(*given).items()}
    assert ONE.step_scores(found) == {"top_1": pytest.approx(right)}


def table(labels, logits) -> LabelTable:
    return LabelTable(np.arange(len(labels)), labels, np.asarray(logits, "float32"))


def test_average_precision_by_hand_and_with_ties():
    labels = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    found = table(labels, [[4, 0, 1], [3, 0, 2], [2, 0, 3], [1, 0, 4]])
    # 1/1 and 2/3; all alike: 2 of 4; no image has the last.
    np.testing.assert_allclose(found.average_precision, [5 / 6, 0.5, np.nan])
    assert found.mean_average_precision == pytest.approx((5 / 6 + 0.5) / 2)
    rng = np.random.default_rng(0)
    labels = rng.random((200, 6)) < 0.2
    logits = np.round(rng.normal(size=(200, 6)) + labels, 1)  # with many ties
    found = table(labels, logits)
    pairs = labels.T, logits.T
    expected = [average_precision(*columns) for columns in zip(*pairs, strict=True)]
    np.testing.assert_allclose(found.average_precision, expected, rtol=1e-9)


def test_scores_of_nothing_are_zero():
    found = table(np.zeros((3, 2), bool), -np.ones((3, 2)))
    assert (found.mean_average_precision, found.f1) == (0.0, 0.0)
    assert MANY.scores_of(found)["exact_match"] == 1.0


def test_rows_and_sums_leave_out_padding_and_what_is_not_finite(drawn):
    logits = np.array(drawn[0], "float32")
    labels = drawn[1].round()
    logits[1, 2] = np.nan
    batch = {
        "label": tf.constant(labels, tf.float32),
        "mask": tf.constant([1.0, 0, 1, 1, 0, 0]),
        "number": tf.range(6),
    }
    sums = MANY.sums(tf.constant(logits[[0, 2, 2, 3, 4, 5]]), batch)
    given = logits[[0, 2, 3]]
    target = labels[[0, 2, 3]]
    each = np.where(target > 0, np.log(sigmoid(given)), np.log(1 - sigmoid(given)))
    assert float(sums["examples"]) == 3
    assert float(sums["loss"]) == pytest.approx(-each.mean(1).sum(), rel=1e-5)
    rows = MANY.rows(tf.constant(logits), batch)
    found = MANY.table({name: value.numpy() for name, value in rows.items()})
    assert found.known.tolist() == [True, False, True, True, True, True]
    assert not found.predicted[1].any() and not found.probabilities[1].any()
    np.testing.assert_allclose(
        found.probabilities[2:], sigmoid(logits[2:].astype("float64")), atol=1e-6
    )
    np.testing.assert_array_equal(found.labels, labels > 0.5)
