"""Several hosts, here processes of this machine, do what one does."""

import functools
import json
import shutil

import group_run
import host_processes
import host_run
import networks
import numpy as np
import pipelines
import pytest
import tensorflow as tf
from slow_cases import slow

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import batches, digits, tfrecord
from efficientnet_tf.runs import run_model

# Uneven, and fewer files than four hosts.
VALIDATION_FILES = (200, 100, 60)
# Files i and i + 4 together hold 9 records, so that 2 and 4 hosts have equal shares.
NUMBERED_FILES = (3, 5, 4, 6, 6, 4, 5, 3)
# The paper's rate at once, and nothing random in the model: hosts draw other masks.
SETTINGS = {
    "blocks": networks.ONE,
    "dropout_rate": 0.0,
    "survival_prob": 1.0,
    "learning_rate": 0.016,
    "warmup_epochs": 0.0,
    "eval_batch_size": 32,
}


def write_digits(folder, source: str) -> None:
    """The digits with other validation files."""
    shutil.copytree(source, folder)
    records = []
    for path in sorted(folder.glob("validation-*")):
        for record in tf.data.TFRecordDataset(str(path)):
            encoded, label = tfrecord.parse(record)
            records.append((encoded.numpy(), int(label)))
        path.unlink()
    write_files(folder, "validation", VALIDATION_FILES, records)


def write_numbered(folder) -> None:
    image = digits.encode_jpeg(np.zeros((8, 8)))
    records = [(image, number + 1) for number in range(host_run.NUMBERED)]
    write_files(folder, "train", NUMBERED_FILES, records)
    write_files(folder, "validation", (1,), records[:1])


def write_files(folder, split: str, sizes, records) -> None:
    assert sum(sizes) == len(records) or split == "validation"
    remaining = iter(records)
    for index, size in enumerate(sizes):
        name = f"{split}-{index:05d}-of-{len(sizes):05d}"
        part = folder / f"part-{index}"
        ours = [next(remaining) for _ in range(size)]
        tfrecord.write_shards(str(part), split, ours, shards=1)
        (part / f"{split}-00000-of-00001").rename(folder / name)
        part.rmdir()


def validation_images(folder) -> tuple[np.ndarray, np.ndarray]:
    """All validation images as evaluation sees them, and their labels."""
    config = config_lib.create(dataset="digits")
    split = tfrecord.open_splits(str(folder)).validation
    (batch,) = batches.eval_batches(
        split,
        run_model.preparation(config),
        labels=pipelines.labels(10),
        batch_size=360,
    ).take(1)
    assert batch["mask"].numpy().all()
    return batch["image"].numpy(), batch["label"].numpy()


@pytest.fixture(scope="module")
def data(digits_dir, tmp_path_factory):
    """The folder that host_run.py reads."""
    folder = tmp_path_factory.mktemp("hosts")
    write_digits(folder / "digits", digits_dir)
    write_numbered(folder / "numbered")
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 3, (4, 1, 1, 1, 6))  # each host its own
    images = rng.normal(0, 1, (4, 3, 4, 5, 6)) * spread
    np.save(folder / "images.npy", images.astype("float32"))
    kernel = rng.normal(0, 0.1, (32 * 32 * 3, 10)).astype("float32")
    np.savez(folder / "linear.npz", kernel=kernel, bias=np.zeros(10, "float32"))
    return folder


@pytest.fixture(scope="module")
def run(data):
    """A function that runs host_run.py on `count` hosts and returns their results."""

    @functools.cache
    def run(count: int, **more) -> list[dict]:
        if count == 1:
            host_run.main(str(data), str(data / "1.npz"), SETTINGS | more)
            return [dict(np.load(data / "1.npz"))]
        outs = [data / f"{count}-{index}-{len(more)}.npz" for index in range(count)]
        settings = [f"{n}={json.dumps(v)}" for n, v in (SETTINGS | more).items()]
        commands = [["tests/host_run.py", data, out, *settings] for out in outs]
        with host_processes.started(commands) as processes:
            host_processes.finish(processes)
        return [dict(np.load(out)) for out in outs]

    return run


COUNTS = slow(2, 4)


@pytest.mark.parametrize("count", COUNTS)
def test_hosts_take_the_steps_that_one_takes(run, count):
    (one,) = run(1)
    for host in run(count):
        np.testing.assert_allclose(host["losses"], one["losses"], rtol=1e-5)
        for name in ("weights", "statistics", "averages"):
            np.testing.assert_allclose(host[name], one[name], rtol=0, atol=1e-5)
            np.testing.assert_array_equal(host[name], run(count)[0][name])
            # Relative to how far they have come: measured are 2e-6.
            moved = np.linalg.norm(one[name] - one[f"initial {name}"])
            assert np.linalg.norm(host[name] - one[name]) < 1e-4 * moved, name


@pytest.mark.parametrize("count", COUNTS)
def test_hosts_count_every_validation_image_once(run, data, count):
    images, labels = validation_images(data / "digits")
    kernel = np.load(data / "linear.npz")["kernel"].astype("float64")
    logits = images.reshape(360, -1) / 255 @ kernel
    ranks = (-logits).argsort(axis=1)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    loss = np.mean(log_sums - logits[np.arange(360), labels])
    top_1 = np.mean(ranks[:, 0] == labels)
    top_5 = np.mean((ranks[:, :5] == labels[:, np.newaxis]).any(axis=1))
    assert len(set(ranks[:, 0])) > 5  # an image more or less would change the scores
    for host in run(count):
        assert host["examples"] == 360
        assert host["top_1"] == pytest.approx(top_1, abs=1e-12)
        assert host["top_5"] == pytest.approx(top_5, abs=1e-12)
        assert host["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("count", COUNTS)
def test_each_record_is_read_by_one_host(run, count):
    read = [set(host["numbers"].tolist()) for host in run(count)]
    assert [len(numbers) for numbers in read] == [host_run.NUMBERED // count] * count
    assert set().union(*read) == set(range(host_run.NUMBERED))


@pytest.mark.parametrize("count", COUNTS)
def test_groups_of_hosts_normalise_as_their_joined_batch(run, data, count):
    images = np.load(data / "images.npy")[:count]
    for first in range(0, count, host_run.GROUP):
        group = slice(first, first + host_run.GROUP)
        expected = group_run.joined(images[group])
        for place, host in enumerate(run(count)[group]):
            for name in ("outputs", "gradients"):
                wanted = expected[name][place]
                np.testing.assert_allclose(host[name][0], wanted, rtol=1e-4, atol=1e-5)
            for name in ("means", "variances"):
                np.testing.assert_allclose(host[name][0], expected[name], rtol=1e-5)


@pytest.mark.slow
def test_hosts_train_fused_as_with_keras_layers(run):
    (one,) = run(1)
    for host in run(2, fused="on"):
        for name in ("weights", "statistics", "averages"):
            np.testing.assert_allclose(host[name], one[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_each_host_draws_masks_of_its_own(run):
    blocks = networks.PLAIN  # the second block is skipped at times
    first, second = run(2, dropout_rate=0.5, survival_prob=0.5, blocks=blocks)
    assert len(first["seeds"]) >= 4  # two integers a layer that draws
    assert not (first["seeds"] == second["seeds"]).any()
    np.testing.assert_array_equal(first["weights"], second["weights"])


@pytest.mark.slow
def test_hosts_without_synchronisation_share_their_statistics(run):
    first, second = run(2, batch_norm="local")
    for name in ("weights", "statistics", "averages"):
        np.testing.assert_array_equal(first[name], second[name])
    # The statistics are means over the hosts, close to those of one batch; the steps
    # differ, as they must.
    (one,) = run(1)
    assert np.abs(first["weights"] - one["weights"]).max() > 1e-4
