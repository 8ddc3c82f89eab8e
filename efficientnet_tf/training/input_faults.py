"""Finds the record that ended a run, and lists the records that a run leaves out."""

import contextlib
import csv
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.config import Config
from efficientnet_tf.data import bad_records, batches, image_files, sources, tfrecord
from efficientnet_tf.data.settings import Labels
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import pipelines

# Validation images that are decoded before training begins: a second of a CPU's time.
LOOKED_AT = 1024
_BATCH = 32
_LIST = "bad_records"

Again = Callable[[sources.Source, tf.distribute.InputContext], tf.data.Dataset]


def in_training(
    config: Config,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
    *,
    step: Callable[[], int],
) -> AbstractContextManager:
    """Names a record that ends training, see `named`.

    Args:
        config: configuration of the run.
        source: the run's data.
        strategy: the strategy that reads them.
        step: returns the last step that was taken. The record is somewhere behind it,
            because batches are read ahead, but at most an epoch.
    """

    def again(
        source: sources.Source, context: tf.distribute.InputContext
    ) -> tf.data.Dataset:
        consumed = step() * config.train_batch_size
        dataset = pipelines.train_dataset(config, source, context, consumed=consumed)
        images = source.splits.train_images // context.num_input_pipelines
        size = context.get_per_replica_batch_size(config.train_batch_size)
        return dataset.take(images // size + 1)

    return named(source, strategy, again)


def in_evaluation(
    config: Config,
    source: sources.Source,
    split: tfrecord.Split | None,
    strategy: tf.distribute.Strategy,
) -> AbstractContextManager:
    """Names a record that ends an evaluation of a split, see `named`.

    Args:
        config: configuration of the run.
        source: the run's data.
        split: the images; None where none are read.
        strategy: the strategy that reads them.
    """
    if split is None:
        return contextlib.nullcontext()

    def again(
        source: sources.Source, context: tf.distribute.InputContext
    ) -> tf.data.Dataset:
        shard = pipelines.shard(context)
        return _evaluated(config, source, split, shard, images=split.images)

    return named(source, strategy, again)


def named(
    source: sources.Source, strategy: tf.distribute.Strategy, again: Again
) -> AbstractContextManager:
    """Replaces TensorFlow's error about a record by one line that names the record.

    Args:
        source: the run's data.
        strategy: the strategy that reads them.
        again: returns what one pipeline read when the error came, of another source.

    Raises:
        ValueError: naming file, record and reason.
    """

    def datasets(bad: bad_records.BadRecords) -> Iterable[tf.data.Dataset]:
        if isinstance(source, sources.Files):
            strict = dataclasses.replace(source, bad=bad, cache=None)
            for context in contexts(strategy):
                yield again(strict, context)

    return bad_records.named(getattr(source, "bad", None), datasets)


def look(
    config: Config,
    source: sources.Source,
    split: tfrecord.Split,
    strategy: tf.distribute.Strategy,
) -> None:
    """Decodes up to 1,024 images, so that no error comes after training.

    Of image files it takes those at even distances, of record files the first ones that
    evaluation reads. Buckets are left out, because each file there costs 64 MB.

    Args:
        config: configuration of the run; where it skips bad records nothing is done.
        source: the run's data.
        split: the images that will be evaluated.
        strategy: the strategy that will read them.

    Raises:
        ValueError: naming the first record that cannot be used.
    """
    if not isinstance(source, sources.Files) or source.bad:
        return
    if files.is_url(split.files[0]):
        return
    bad = bad_records.BadRecords(limit=0)
    strict = dataclasses.replace(source, bad=bad, cache=None)
    some = _some(split)
    shards = [pipelines.shard(context) for context in contexts(strategy)]
    looks = (
        _evaluated(config, strict, some, shard, images=LOOKED_AT) for shard in shards
    )
    bad_records.read_all(looks, bad)


@contextlib.contextmanager
def listed(
    source: sources.Source,
    model_dir: str | None,
    host: int,
    check_held: Callable[[], None] | None = None,
) -> Iterator[Callable[[], None]]:
    """Lists the records that are left out, at the end and when the caller asks.

    The list is bad_records.csv in the run's folder, on other hosts than the first one
    with the host's number in its name. Records that an earlier command listed remain.

    Args:
        source: the run's data.
        model_dir: the run's folder; None only prints how many there are.
        host: int, number of this host.
        check_held: raises ValueError if another run has taken the folder over, to
            which nothing is written then; None for a caller that holds no folder.

    Yields:
        A function that writes the list as it is now.
    """
    bad = source.bad if isinstance(source, sources.Files) else None
    name = f"{_LIST}-host{host}.csv" if host else f"{_LIST}.csv"
    before, written = len(bad.rows()) if bad else 0, 0

    def write() -> None:
        nonlocal written
        rows = bad.rows() if bad else []
        if model_dir and len(rows) > written:
            if check_held:
                check_held()
            _write(f"{model_dir}/{name}", rows)
            written = len(rows)

    expected: tuple[type[Exception], ...] = (tf.errors.OpError, ValueError)
    try:
        yield write
        expected = ()
    finally:
        with contextlib.suppress(*expected):  # the first error tells more
            write()
        if bad and (count := len(bad.rows())) > before:
            place = f", listed in {model_dir}/{name}" if written else ""
            print(f"left out      bad records: {count}{place}", file=sys.stderr)


def _write(path: str, rows: list[dict]) -> None:
    found = {(row["split"], row["file"], row["record"]): row for row in _earlier(path)}
    for row in rows:
        row = {name: "" if v is None else str(v) for name, v in row.items()}
        found[row["split"], row["file"], row["record"]] = row
    files.write_csv(path, found.values())


def _earlier(path: str) -> list[dict]:
    """Reads the list of an earlier command; what is damaged of it is left out."""
    columns = {"split", "file", "record", "reason"}
    try:
        rows = list(csv.DictReader((files.read_text(path) or "").splitlines()))
    except (ValueError, csv.Error):  # bytes that are no text, or no CSV
        rows = []
    whole = (row for row in rows if row.keys() == columns)
    return [row for row in whole if None not in row.values()]


def _evaluated(
    config: Config,
    source: sources.Source,
    split: tfrecord.Split,
    shard: batches.Shard,
    *,
    images: int,
) -> tf.data.Dataset:
    """Reads a host's first images of a split as evaluation does."""
    dataset = source.evaluate(
        split,
        run_model.preparation(config),
        labels=config.section(Labels),
        batch_size=_BATCH,
        shard=shard,
    )
    return dataset.take(-(-min(images, split.images) // _BATCH))


def _some(split: tfrecord.Split) -> tfrecord.Split:
    """Takes image files at even distances."""
    if not isinstance(split, image_files.ImageFiles):
        return split
    step = -(-len(split.files) // LOOKED_AT)
    return dataclasses.replace(
        split,
        files=split.files[::step],
        labels=split.labels[::step],
        images=len(split.files[::step]),
    )


def contexts(strategy: tf.distribute.Strategy) -> list[tf.distribute.InputContext]:
    """Returns the pipelines that this process makes for a strategy."""
    found = []

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        found.append(context)
        return tf.data.Dataset.range(1)

    strategy.distribute_datasets_from_function(dataset)
    return found
