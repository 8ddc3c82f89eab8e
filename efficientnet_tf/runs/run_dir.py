"""A run's folder: the files that a run writes and continues from.

The folder holds config.json, data.json (what the data was found to hold),
passport.json, labels.txt (a name for each output of the model, one a line),
checkpoints/ (to continue), best/ (to serve), TensorBoard events and metrics.jsonl.
Every file appears whole or not at all, so the same command can continue a run that was
killed at any moment.
"""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf import disk, files, label_sets
from efficientnet_tf.data import inventory
from efficientnet_tf.runs import checkpoint_files, metrics, run_files
from efficientnet_tf.runs.checkpoint_files import Checkpoints
from efficientnet_tf.weights import passport as passports

CONFIG, PASSPORT, DATA = "config.json", "passport.json", "data.json"
# Folders of a run that training writes to.
_FOLDERS = ("checkpoints", "best", "train", "minival", "validation")
_ANEW = (
    "put back a copy of it, or remove it and run the training command again, which "
    "writes it anew"
)
_ANEW_WITHOUT_WEIGHTS = (
    "put back a copy of it, or, of a run without --weights, remove it and run the "
    "training command again, which writes it anew"
)


@dataclasses.dataclass(frozen=True)
class RunDir:
    """The folder of one run.

    Args:
        path: local folder or gs:// URL; it need not exist yet.
    """

    path: str

    def read_config(self, chosen: dict[str, Any] | None = None) -> config_lib.Config:
        """Reads the run's configuration.

        Args:
            chosen: new values for fields of Config that may change; None counts as not
                chosen.

        Raises:
            ValueError: if config.json is missing, is damaged or was written by another
                version, or if a choice contradicts it.
        """
        path = f"{self.path}/{CONFIG}"
        values = run_files.read(path, remedy=_ANEW)
        if values is None:
            raise ValueError(self._without_config())
        try:
            saved = config_lib.loads(json.dumps(values))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {error}") from None
        return config_lib.override(saved, **(chosen or {}))

    def as_begun(self, config: config_lib.Config) -> config_lib.Config:
        """Returns a configuration with what the folder's run began with by default.

        Runs of versions that had no setting `exif` turned no image. They go on so, also
        where the data or a flag now turn it on.

        Args:
            config: the configuration that the command asks for.
        """
        values = run_files.read(f"{self.path}/{CONFIG}", remedy=_ANEW)
        if values is None or "exif" in values:
            return config
        return dataclasses.replace(config, exif=False)

    def check_writable(self) -> None:
        """Raises ValueError unless the run's files can be written."""
        files.check_writable(self.path, label="model_dir=")
        if files.is_url(self.path):
            return
        for folder in _FOLDERS:
            if os.path.lexists(f"{self.path}/{folder}"):
                files.check_writable(f"{self.path}/{folder}")
        grows = f"{self.path}/{metrics.NAME}"
        if os.path.lexists(grows):
            with disk.writing(grows):
                open(grows, "ab").close()

    def has_saved(self) -> bool:
        """Whether there are checkpoints; a run that has none may begin anew."""
        folders = (f"{self.path}/{name}" for name in ("checkpoints", "best"))
        found = map(checkpoint_files.read, folders)
        return any(one.found or one.faults for one in found)

    def check_config(self, config: config_lib.Config) -> None:
        """Raises ValueError if the folder holds a run with other settings."""
        if not tf.io.gfile.exists(f"{self.path}/{CONFIG}"):
            return
        saved = self.read_config()
        differing = ", ".join(
            f"{name}={getattr(saved, name)} (now {getattr(config, name)})"
            for name in config_lib.conflicts(saved, config)
        )
        if differing:
            raise ValueError(
                f"model_dir={self.path} holds a run with {differing}: use its settings "
                "to continue it, or another model_dir for a new run"
            )

    def check_class_names(self, names: tuple[str, ...] | None) -> None:
        """Raises ValueError if the folder holds a run of classes with other names.

        Args:
            names: names of the data's labels, in order; None if they are not known.
        """
        trained = self.read_passport().class_names
        if not trained or not names or trained == names:
            return
        number = [a == b for a, b in zip(trained, names, strict=True)].index(False)
        raise ValueError(
            f"model_dir={self.path} holds a run whose class {number} is called "
            f"{trained[number]} (now {names[number]}): use its data to continue it, or "
            "another model_dir for a new run"
        )

    def write_config(self, config: config_lib.Config) -> None:
        """Writes config.json."""
        run_files.write(f"{self.path}/{CONFIG}", config_lib.dumps(config))

    def write_data(self, found: inventory.Inventory) -> None:
        """Writes data.json: what the run's data was found to hold."""
        run_files.write(f"{self.path}/{DATA}", found.dumps())

    def has_passport(self) -> bool:
        """Whether passport.json is there."""
        return tf.io.gfile.exists(f"{self.path}/{PASSPORT}")

    def read_passport(self) -> passports.Passport:
        """Reads passport.json; returns an empty passport if the folder has none.

        Raises:
            ValueError: if it is damaged, or if it is gone and the run cannot do without
                it.
        """
        path = f"{self.path}/{PASSPORT}"
        values = run_files.read(path, remedy=_ANEW_WITHOUT_WEIGHTS)
        if values is None:
            self._check_needs_no_passport()
            return passports.Passport(None)
        try:
            return passports.loads(json.dumps(values))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def _check_needs_no_passport(self) -> None:
        """Raises ValueError if a run of this version has lost its passport.

        Without --weights a run's network follows from its settings alone. With them it
        has the conventions of their file, which only the passport states.
        """
        path = f"{self.path}/{CONFIG}"
        is_begun = checkpoint_files.read(f"{self.path}/checkpoints").found
        is_of_this_version = is_begun and run_files.is_sealed(path)
        if is_of_this_version and self.read_config().weights is not None:
            raise ValueError(
                f"{self.path}/{PASSPORT}: is missing; it says what network the run's "
                "weights are of: put back a copy of it"
            )

    def write_passport(self, passport: passports.Passport) -> None:
        """Writes the network, the conventions of its weights, and its classes' names.

        Args:
            passport: passport of the run's model, for passport.json and labels.txt.
        """
        self.write_labels(passport)
        run_files.write(f"{self.path}/{PASSPORT}", passport.dumps())

    def write_labels(self, passport: passports.Passport) -> None:
        """Writes labels.txt, the names of the outputs for people.

        Args:
            passport: passport of the run's model.
        """
        text = label_sets.dumps(output_names(passport))
        files.write_whole(f"{self.path}/{label_sets.FILE}", text)

    def to_continue(self) -> Checkpoints:
        """Finds the checkpoints to continue from, the newest first.

        Raises:
            ValueError: if there is only a damaged list of them.
        """
        found = checkpoint_files.read(f"{self.path}/checkpoints")
        if found.faults and not found.found:
            raise ValueError(
                f"{found.faults[0]}, and no checkpoint is beside it; remove the folder "
                "to begin anew"
            )
        return found

    def check_begins(self, config: config_lib.Config, *, train_images: int) -> None:
        """Raises ValueError if a new run would replace what a longer one left here.

        A run that was killed before its first checkpoint begins anew.

        Args:
            config: configuration of the new run.
            train_images: int, images in an epoch.
        """
        if tf.io.gfile.exists(f"{self.path}/{CONFIG}"):
            config = self.read_config()  # with the rhythm of what lies here
        first = config.interval(config.checkpoint_epochs, train_images=train_images)
        best = checkpoint_files.read(f"{self.path}/best").found
        steps = [checkpoint_files.step_of(one.path) for one in best]
        steps += [line["step"] for line in metrics.read(self.path)]
        if max(steps, default=0) > first:
            raise ValueError(
                f"{self.path}/checkpoints: is gone, although the run was at step "
                f"{max(steps)}; put back a copy, or remove best/ and {metrics.NAME} "
                "too, to begin anew"
            )

    def to_serve(self) -> Checkpoints:
        """Finds the checkpoints to serve: the best on held-out data, then the latest.

        Raises:
            ValueError: if the folder holds no checkpoint.
        """
        best = checkpoint_files.read(f"{self.path}/best")
        found = best + checkpoint_files.read(f"{self.path}/checkpoints")
        if not found.found:
            faults = "".join(f"; {fault}" for fault in found.faults)
            raise ValueError(
                f"model_dir={self.path}: no checkpoint there yet{faults}; train first"
            )
        return found

    def latest_checkpoint(self) -> str | None:
        """Finds the checkpoint to continue from; None if there is none.

        Raises:
            ValueError: if there is only a damaged list of checkpoints.
        """
        return self.to_continue().first

    def mend_records(self) -> None:
        """Writes anew the lists of checkpoints that are missing or damaged.

        Raises:
            disk.WriteError: naming a list that cannot be written.
        """
        for folder in ("checkpoints", "best"):
            checkpoint_files.mend(f"{self.path}/{folder}")

    def _without_config(self) -> str:
        """Says what to do in a folder without config.json."""
        if checkpoint_files.read(f"{self.path}/checkpoints").found:
            return (
                f"{self.path}/{CONFIG}: is missing, although checkpoints are there; "
                "put back a copy of it, or run the training command again, which "
                "writes it anew"
            )
        return (
            f"model_dir={self.path}: no config.json there; train first, or name the "
            "folder of a run"
        )


def output_names(passport: passports.Passport) -> tuple[str, ...]:
    """Names the outputs of a run's model, as its labels.txt does.

    Args:
        passport: passport of the run's model.
    """
    return label_sets.output_names(
        passport.class_names,
        outputs=passport.classes or 0,
        label_offset=passport.label_offset,
    )
