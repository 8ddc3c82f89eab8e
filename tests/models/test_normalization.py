"""Batch normalisation over groups of replicas, against the groups' joined batches."""

import os
import pathlib
import subprocess
import sys

import group_run
import keras
import numpy as np
import pytest

from efficientnet_tf.models import normalization

SCRIPT = pathlib.Path(group_run.__file__)


def replica_images(replicas=4):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (replicas, 3, 4, 5, 6))
    # Each replica its own mean and spread.
    shape = (replicas, 1, 1, 1, 6)
    return (x * rng.uniform(0.5, 3, shape) + rng.normal(0, 2, shape)).astype("float32")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What 4 replicas find in groups of every size: "SIZE outputs" and so on."""
    folder = tmp_path_factory.mktemp("groups")
    source, out = folder / "in.npy", folder / "out.npz"
    np.save(source, replica_images())
    subprocess.run(
        [sys.executable, SCRIPT, "4", source, out, *"01234"],
        check=True,
        cwd=SCRIPT.parents[1],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
    )
    return dict(np.load(out))


@pytest.mark.parametrize(("group_size", "groups"), [(1, 4), (2, 2), (4, 1), (0, 4)])
def test_a_group_of_replicas_normalises_as_its_joined_batch(
    group_size, groups, results
):
    found = {
        name: results[f"{group_size} {name}"]
        for name in ("outputs", "gradients", "means", "variances")
    }
    x = replica_images()
    size = 4 // groups
    for start in range(0, 4, size):
        rows = slice(start, start + size)
        expected = group_run.joined(x[rows])
        # Float32's sums round by 5e-6 at most; another group differs by 0.1.
        for name in ("outputs", "gradients"):
            np.testing.assert_allclose(found[name][rows], expected[name], atol=1e-3)
        for name in ("means", "variances"):
            for got in found[name][rows]:
                np.testing.assert_allclose(got, expected[name], rtol=1e-3, atol=1e-3)


def test_groups_that_do_not_divide_the_replicas_are_refused(results):
    assert "group_size=3: allowed is a divisor of the" in str(results["3 error"])


@pytest.mark.parametrize(
    ("replicas", "size"),
    [(1, 1), (4, 1), (8, 1), (16, 8), (32, 8), (64, 8), (128, 16), (256, 32)],
)
def test_groups_are_the_originals(replicas, size):
    assert normalization.replicas_per_group(replicas) == size


@pytest.mark.parametrize("training", [False, True])
def test_without_replicas_it_is_a_plain_batch_norm(training):
    x = replica_images(1)[0]
    grouped = normalization.GroupedBatchNormalization()
    plain = keras.layers.BatchNormalization()
    np.testing.assert_array_equal(
        grouped(x, training=training), plain(x, training=training)
    )
    np.testing.assert_array_equal(grouped.moving_mean, plain.moving_mean)


def test_the_config_round_trips():
    layer = normalization.GroupedBatchNormalization(
        group_size=2, momentum=0.9, epsilon=1e-4, axis=1
    )
    again = normalization.GroupedBatchNormalization.from_config(layer.get_config())
    assert (again.group_size, again.momentum, again.epsilon) == (2, 0.9, 1e-4)
    assert again.get_config() == layer.get_config()
