"""What shows that a run goes on with the data and the network that it was begun with.

The data's fingerprint is in data.json: numbers, names and labels of all files, and the
sizes of some, which cost no reading. The contents of files are not compared. Whatever
an earlier version did not write there is not compared either.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterable

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.config import Config, conflicts
from efficientnet_tf.data import image_files, tfrecord
from efficientnet_tf.data.inventory import Inventory, Part
from efficientnet_tf.data.settings import Data
from efficientnet_tf.runs import run_dir, run_files
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import evaluation, introduction
from efficientnet_tf.weights import evidence
from efficientnet_tf.weights.passport import Passport

# Settings that decide which images are in a split.
_DIVIDING = {field.name for field in dataclasses.fields(Data)} | {"seed"}
_SIZED = 1024  # files whose sizes are asked, at even distances; milliseconds


def of_data(config: Config, splits: tfrecord.Splits) -> Inventory:
    """Returns what the data of a run holds, with its fingerprint.

    Args:
        config: configuration of the run.
        splits: the splits of its data.
    """
    found = introduction.inventory(config, splits)
    there = filter(None, (splits.train, splits.minival, splits.validation))
    parts = [
        dataclasses.replace(
            part, names=_names(split, config.data_dir), sizes=_sizes(split)
        )
        for part, split in zip(found.parts, there, strict=True)
    ]
    return dataclasses.replace(found, parts=tuple(parts))


def _names(split: tfrecord.Split, data_dir: str | None) -> str | None:
    """Hashes names without their folder, because the data may move."""
    if not split.files:
        return None
    folder = f"{data_dir.rstrip('/')}/" if data_dir else None
    labels = split.labels if isinstance(split, image_files.ImageFiles) else ()
    names = (
        file.removeprefix(folder)
        if folder and file.startswith(folder)
        else os.path.basename(file)
        for file in split.files
    )
    return _digest((*names, *map(str, labels)))


def _sizes(split: tfrecord.Split) -> str | None:
    """Hashes the bytes of local files; a bucket would be asked about each."""
    some = split.files[:: -(-len(split.files) // _SIZED) or 1]
    if not some or files.is_url(some[0]):
        return None
    try:
        return _digest(str(os.stat(file).st_size) for file in some)
    except OSError:
        return None  # whoever reads the file says so


def _digest(words: Iterable[str]) -> str:
    sha = hashlib.sha256()
    for word in words:
        sha.update(os.fsencode(word) + b"\0")
    return sha.hexdigest()


def check_data(
    run: RunDir, config: Config, found: Inventory, *, tells: bool = True
) -> None:
    """Raises ValueError if a run would go on with other data.

    Settings that divide the data otherwise are left to `RunDir.check_config`. Others
    follow from the data, so it is these that are named.

    Args:
        run: the run's folder, which holds checkpoints.
        config: configuration of the run.
        found: the fingerprint of the data that is there now.
        tells: whether this host prints that data.json is damaged.
    """
    path = f"{run.path}/{run_dir.DATA}"
    begun = {} if _divides_otherwise(run, config) else _read_parts(path, tells)
    now = {part.name: part for part in found.parts}
    names = dict.fromkeys([*now, *begun]) if begun else ()
    words = (_difference(name, begun.get(name), now.get(name)) for name in names)
    different = next(filter(None, words), None)
    if different:
        place = f"data_dir={config.data_dir}"
        raise ValueError(
            f"{place if config.data_dir else f'dataset={config.dataset}'}: {different} "
            f"when the run in {run.path} was begun; name its data, or another "
            f"model_dir for a new run, or delete {path} to go on with these data"
        )


def _divides_otherwise(run: RunDir, config: Config) -> bool:
    if not tf.io.gfile.exists(f"{run.path}/{run_dir.CONFIG}"):
        return False
    return not _DIVIDING.isdisjoint(conflicts(run.read_config(), config))


def _read_parts(path: str, tells: bool) -> dict[str, Part]:
    """Reads the splits of data.json by name; none where it is missing or damaged."""
    known = {field.name for field in dataclasses.fields(Part)}
    try:
        found = run_files.read(path, remedy="")
        parts = found["parts"] if found is not None else []
        fields = [{n: part[n] for n in known & part.keys()} for part in parts]
        return {part["name"]: Part(**{"counts": None} | part) for part in fields}
    except run_files.DamagedError:
        return {}  # `inspection.warn` names it
    except (ValueError, TypeError, KeyError, AttributeError):
        words = "is damaged; whether the data are the same is open"
        evaluation.say([f"warning       {path}: {words}"] * tells)
        return {}


def _difference(name: str, begun: Part | None, now: Part | None) -> str | None:
    """Says how a split differs; None where it does not, or where nothing is known."""
    none = Part(name, 0, 0, None)
    begun, now = begun or none, now or none
    if (begun.images, begun.files) != (now.images, now.files):
        return (
            f"{name} has {now.images} images in {now.files} files, but had "
            f"{begun.images} in {begun.files}"
        )
    counts = zip(begun.counts or (), now.counts or (), strict=False)
    for number, (had, has) in enumerate(counts):
        if had != has:
            return f"class {number} of {name} has {has} images, but had {had}"
    for field in ("names", "sizes"):
        had, has = getattr(begun, field), getattr(now, field)
        if None not in (had, has) and had != has:
            of = "names or labels" if field == "names" else field
            return f"the files of {name} have other {of} than"
    return None


def check_network(run: RunDir, config: Config, *, tells: bool = True) -> None:
    """Raises ValueError if a run whose config.json is gone would get another network.

    Args:
        run: the run's folder, which holds checkpoints.
        config: configuration that the command asks for.
        tells: whether this host prints that config.json is gone.
    """
    if tf.io.gfile.exists(f"{run.path}/{run_dir.CONFIG}"):
        return  # which says more
    try:
        path = f"{run.path}/{run_dir.PASSPORT}"
        _check_passport(path, run.read_passport(), config)
    except run_files.DamagedError:
        raise  # which says what helps
    except ValueError as error:
        raise ValueError(
            f"{error}; config.json beside it is gone: use the settings that the run "
            "was begun with, or another model_dir for a new run"
        ) from None
    line = (
        f"note          {run.path}/config.json is gone; the run goes on with the "
        "settings of this command"
    )
    evaluation.say([line] * tells)


def _check_passport(path: str, stated: Passport, config: Config) -> None:
    if stated.variant:
        try:
            evidence.check_same_network(config.variant, stated.variant)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    for name, had in (
        ("num_classes", stated.classes),
        ("image_size", stated.image_size),
    ):
        if had not in (None, getattr(config, name)):
            raise ValueError(
                f"{path}: tells of {name}={had} (now {getattr(config, name)})"
            )
