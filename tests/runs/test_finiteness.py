"""NaN and infinity in variables and checkpoints are found and named."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.runs import checkpoints, finiteness, restoring
from efficientnet_tf.runs.checkpoint_files import Checkpoints, Found
from efficientnet_tf.runs.run_dir import RunDir


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_variable_that_is_not_finite_is_named(bad):
    variables = {
        "a": tf.Variable([0.0, 3e38]),
        "count": tf.Variable(7),
        "b": tf.Variable([1.0, bad]),
        "c": tf.Variable(bad),
    }
    assert finiteness.first_not_finite(variables) == "b"
    variables["b"].assign([1.0, 2.0])
    assert finiteness.first_not_finite(variables) == "c"
    variables["c"].assign(0.0)
    assert finiteness.first_not_finite(variables) is None


def test_weights_to_serve_that_are_not_finite_are_refused(tmp_path, capsys):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(inputs))
    weights = checkpoints.by_path(model.weights)
    saved = tf.train.Checkpoint(inference=weights)
    good = saved.write(str(tmp_path / "ckpt-1"))
    weights["last/bias"].assign([0.0, np.nan])
    bad = saved.write(str(tmp_path / "ckpt-2"))
    with pytest.raises(finiteness.NotFiniteError, match="last/bias is not") as told:
        checkpoints.restore_inference(model, bad)
    assert told.value.path == "last/bias"
    found = Checkpoints((Found(bad), Found(good)))
    load = functools.partial(checkpoints.restore_inference, model)
    assert restoring.restore(found, load) == good
    assert f"{bad}: last/bias is not finite; taking {good}" in capsys.readouterr().err
    with pytest.raises(ValueError, match=f"{bad}: last/bias is not finite; no other"):
        restoring.restore(Checkpoints((Found(bad),)), load)
    checkpoints.restore_inference(model, good)
    np.testing.assert_array_equal(weights["last/bias"].numpy(), [0.0, 0.0])


def test_a_checkpoint_with_nan_is_named_but_for_the_record_of_evaluations(tmp_path):
    model = {"last/bias": tf.Variable([0.0, 1.0]), "count": tf.Variable(7)}
    record = tf.Module()
    record.best_loss = tf.Variable(np.inf)
    saved = tf.train.Checkpoint(model=model, evaluations=record)
    assert restoring.damage(saved.write(str(tmp_path / "ckpt-1"))) is None
    model["last/bias"].assign([0.0, np.nan])
    fault = restoring.damage(saved.write(str(tmp_path / "ckpt-2")))
    assert fault == "model/last/bias is not finite"


@pytest.mark.parametrize("folder", ["checkpoints", "best"])
def test_a_folder_without_checkpoints_has_saved_nothing(tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / "config.json").write_text("{}")
    assert not RunDir(str(tmp_path)).has_saved()
    (tmp_path / folder / "ckpt-1.index").write_text("")
    assert RunDir(str(tmp_path)).has_saved()
