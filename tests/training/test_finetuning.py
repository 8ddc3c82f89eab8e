"""Fine-tuning through `model.fit`: recipe, parts, and averages as a callback."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

import efficientnet_tf as en

RNG = np.random.default_rng(0)
CLASSES = np.arange(40) % 2
# One class is bright, the other dark.
IMAGES = RNG.integers(0, 90, (40, 32, 32, 3)) + 160 * CLASSES[:, None, None, None]
IMAGES = IMAGES.astype("uint8")
STEPS = 5  # an epoch


@pytest.fixture
def data():
    return tf.data.Dataset.from_tensor_slices((IMAGES, CLASSES)).batch(8)


@pytest.fixture
def model():
    return en.EfficientNet(networks.own(networks.ONE), classes=2)


class Weights(keras.callbacks.Callback):
    """Keeps the model's float weights after each step, and what validation sees."""

    def __init__(self):
        super().__init__()
        self.steps, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(values(self.model))

    def on_test_batch_end(self, batch, logs=None):
        self.validated.append(values(self.model))


def values(model):
    return {v.path: v.numpy() for v in model.weights if v.dtype == "float32"}


def changed(model, before):
    return {p for p, v in values(model).items() if not np.array_equal(v, before[p])}


def test_classes_are_told_apart_and_batch_norms_stay(model, data):
    before = values(model)
    history = en.finetune(
        model, data, validation_data=data, train_epochs=2.0, verbose=0
    ).history
    assert history["val_accuracy"] == [1.0, 1.0]
    kernels = {v.path for v in model.weights if v.path.endswith(("kernel", "bias"))}
    assert changed(model, before) == kernels
    found = model.predict(IMAGES, verbose=0).argmax(-1)
    np.testing.assert_array_equal(found, CLASSES)


def test_a_frozen_backbone_trains_the_classifier_alone(model, data):
    before = values(model)
    rows = tf.one_hot(CLASSES, 2)
    labelled = tf.data.Dataset.from_tensor_slices((IMAGES, rows)).batch(8)
    en.finetune(
        model,
        labelled,
        validation_data=data,
        freeze="backbone",
        classifier_init="zero",
        learning_rate=3.0,
        train_epochs=4.0,
        verbose=0,
    )
    assert changed(model, before) == {"predictions/kernel", "predictions/bias"}
    found = model.predict(IMAGES, verbose=0).argmax(-1)
    np.testing.assert_array_equal(found, CLASSES)


def test_stages_have_their_rates_and_batch_norms_may_be_trained(model, data):
    before = values(model)
    seen = Weights()
    en.finetune(
        model,
        data,
        freeze="stem",
        batch_norm="local",
        layer_decay=0.5,
        optimizer="sgd",
        momentum=0.0,
        lr_schedule="constant",
        warmup_epochs=0.0,
        moving_average_decay=0.0,
        train_epochs=0.1,
        callbacks=[seen],
        verbose=0,
    )
    moved = changed(model, before)
    assert "block1a_bn/moving_mean" in moved
    assert not any(path.startswith("stem") for path in moved)


def test_averages_are_those_of_the_formula(model, data):
    """TF1's ramp, (1 + step) / (10 + step), up to the decay; statistics too."""
    seen = Weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    averages = values(model)
    model.fit(
        data,
        validation_data=data,
        epochs=2,
        shuffle=False,
        callbacks=[seen, en.EMA(0.3)],
        verbose=0,
    )
    for step, weights in enumerate(seen.steps, start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        for path, average in averages.items():
            averages[path] = decay * average + (1 - decay) * weights[path]
        if step % STEPS == 0:  # what the validation of this epoch saw
            for path, got in seen.validated[step - 1].items():
                np.testing.assert_allclose(got, averages[path], rtol=1e-4, atol=1e-5)
    for path, got in values(model).items():
        np.testing.assert_allclose(got, averages[path], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lerning_rate": 0.1}, "unknown setting lerning_rate"),
        ({"optimizer": "adam"}, "optimizer=adam"),
        ({"train_epochs": 0.0}, "train_epochs=0.0"),
        ({"freeze": "block7"}, "freeze=block7"),
        ({"batch_norm": "thawed"}, "batch_norm=thawed"),
        ({"classifier_init": "one"}, "classifier_init=one"),
    ],
)
def test_wrong_settings_are_refused_before_anything_changes(
    settings, words, model, data
):
    before = values(model)
    with pytest.raises(ValueError) as error:
        en.finetune(model, data, **settings)
    assert str(error.value).startswith(words)
    assert not changed(model, before) and not model.compiled


def test_an_empty_data_set_is_refused(model, data):
    with pytest.raises(ValueError, match="dataset: holds no images"):
        en.finetune(model, data.take(0))


def test_sigmoids_are_trained_on_labels_of_their_own(data):
    """The first label is a bright image, the second a dark one, the third each."""
    # Its network has the name of B0, but not its blocks, of which some are frozen.
    model = en.EfficientNet(
        blocks=[networks.ONE],
        input_shape=IMAGES.shape[1:],
        classes=3,
        classifier_activation="sigmoid",
    )
    rows = np.stack([CLASSES, 1 - CLASSES, np.ones(40)], axis=1)
    labelled = tf.data.Dataset.from_tensor_slices((IMAGES, rows)).batch(8)
    history = en.finetune(
        model,
        labelled,
        validation_data=labelled,
        train_epochs=2.0,
        label_smoothing=0.0,
        moving_average_decay=0.0,
        verbose=0,
    ).history
    assert history["val_f1"][-1] == pytest.approx(1.0)
    shares = model.predict(IMAGES, verbose=0).astype("float64")
    np.testing.assert_array_equal(shares > 0.5, rows > 0.5)
    loss = -np.where(rows > 0.5, np.log(shares), np.log1p(-shares)).mean()
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-3)


def test_one_sigmoid_is_a_class_that_is_there_or_not(data):
    model = en.EfficientNet(
        networks.own(networks.ONE), classes=1, classifier_activation="sigmoid"
    )
    with pytest.raises(ValueError, match="class_weight: Keras weighs images by one cl"):
        en.finetune(model, data, class_weight={0: 2.0})
    en.finetune(model, data, freeze="backbone", train_epochs=1.0, verbose=0)
    found = model.predict(IMAGES, verbose=0)[:, 0] > 0.5
    np.testing.assert_array_equal(found, CLASSES == 1)
