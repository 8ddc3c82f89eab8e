"""A run is read while it trains: the best weights may change meanwhile."""

import networks
import pytest
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.runs import checkpoints, run_model
from efficientnet_tf.runs.run_dir import RunDir

CONFIG = config_lib.create(dataset="digits", blocks=networks.ONE)


@pytest.fixture
def run(tmp_path):
    run = RunDir(str(tmp_path))
    model = run_model.create(CONFIG)
    run.write_config(CONFIG)
    run.write_passport(model.passport)
    save_best(run, model, 1)
    return run


def save_best(run, model, step):
    """Saves as a training does; the best weights before go."""
    kernel = model.get_layer("predictions").kernel
    kernel.assign(tf.fill(kernel.shape, float(step)))
    checkpoint = tf.train.Checkpoint(inference=checkpoints.by_path(model.weights))
    manager = tf.train.CheckpointManager(checkpoint, f"{run.path}/best", 1)
    manager.save(checkpoint_number=step)


def test_the_best_weights_are_those_when_the_model_is_built(run, monkeypatch, capsys):
    create = run_model.create

    def slow(config, **kwargs):
        built = create(config, **kwargs)
        save_best(run, create(config), 2)
        return built

    monkeypatch.setattr(run_model, "create", slow)
    model = run_model.of_run(run, CONFIG)
    assert model.passport.source == f"{run.path}/best/ckpt-2"
    kernel = model.get_layer("predictions").kernel
    assert set(kernel.numpy().ravel()) == {2.0}
    assert capsys.readouterr().err == ""
