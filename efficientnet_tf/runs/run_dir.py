"""A run's folder: the files that a run writes and continues from.

The folder holds config.json, data.json (what the data was found to hold),
passport.json, labels.txt (a name for each output of the model, one a line),
checkpoints/ (to continue), best/ (to serve), TensorBoard events and metrics.jsonl.
Every file appears whole or not at all, so the same command can continue a run that was
killed at any moment.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf import files, label_sets
from efficientnet_tf.data import inventory
from efficientnet_tf.runs import checkpoints
from efficientnet_tf.weights import passport as passports


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
            ValueError: if config.json is missing or was written by another version, or
                if a choice contradicts it.
        """
        text = files.read_text(f"{self.path}/config.json")
        if text is None:
            raise ValueError(
                f"model_dir={self.path}: no config.json there; train first, or name "
                "the folder of a run"
            )
        try:
            saved = config_lib.loads(text)
        except ValueError as error:
            raise ValueError(f"{self.path}/config.json: {error}") from None
        return config_lib.override(saved, **(chosen or {}))

    def as_begun(self, config: config_lib.Config) -> config_lib.Config:
        """Returns a configuration with what the folder's run began with by default.

        Runs of versions that had no setting `exif` turned no image. They go on so, also
        where the data now turn it on.

        Args:
            config: the configuration that the command asks for.
        """
        text = files.read_text(f"{self.path}/config.json")
        if text is None or '"exif"' in text:
            return config
        return dataclasses.replace(config, exif=False)

    def check_config(self, config: config_lib.Config) -> None:
        """Raises ValueError if the folder holds a run with other settings."""
        if not tf.io.gfile.exists(f"{self.path}/config.json"):
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
        files.write_whole(f"{self.path}/config.json", config_lib.dumps(config))

    def write_data(self, found: inventory.Inventory) -> None:
        """Writes data.json: what the run's data was found to hold."""
        files.write_whole(f"{self.path}/data.json", found.dumps())

    def read_passport(self) -> passports.Passport:
        """Reads passport.json; returns an empty passport if the folder has none."""
        text = files.read_text(f"{self.path}/passport.json")
        if text is None:
            return passports.Passport(None)
        try:
            return passports.loads(text)
        except ValueError as error:
            raise ValueError(f"{self.path}/passport.json: {error}") from None

    def write_passport(self, passport: passports.Passport) -> None:
        """Writes the network, the conventions of its weights, and its classes' names.

        Args:
            passport: passport of the run's model, for passport.json and labels.txt.
        """
        names = label_sets.output_names(
            passport.class_names,
            outputs=passport.classes or 0,
            label_offset=passport.label_offset,
        )
        files.write_whole(f"{self.path}/{label_sets.FILE}", label_sets.dumps(names))
        files.write_whole(f"{self.path}/passport.json", passport.dumps() + "\n")

    def latest_checkpoint(self) -> str | None:
        """Finds the checkpoint to continue from; None if there is none."""
        return checkpoints.latest(f"{self.path}/checkpoints")

    def inference_checkpoint(self) -> str:
        """Finds the checkpoint to serve: the best on held-out data, else the latest.

        Raises:
            ValueError: if the folder holds no checkpoint.
        """
        path = checkpoints.latest(f"{self.path}/best") or self.latest_checkpoint()
        if path is None:
            raise ValueError(
                f"model_dir={self.path}: no checkpoint there yet; train first"
            )
        return path
