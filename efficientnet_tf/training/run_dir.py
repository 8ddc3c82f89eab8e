"""What a run leaves in `model_dir`, and how it finds its way back in.

config.json, passport.json, checkpoints/ (to continue), best/ (to serve), TensorBoard
events and metrics.jsonl. Every file appears whole or not at all: a run killed at any
moment leaves a folder that the same command continues from.
"""

import json
import math

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf import files, variants
from efficientnet_tf.training import bucket_checkpoints
from efficientnet_tf.training import state as state_lib
from efficientnet_tf.weights import passport as passports

_KEPT_CHECKPOINTS = 3
METRICS = "metrics.jsonl"


def read_config(model_dir: str) -> config_lib.Config:
    """The configuration of the run in a folder.

    Raises:
        ValueError: if there is none.
    """
    path = f"{model_dir}/config.json"
    if not tf.io.gfile.exists(path):
        raise ValueError(
            f"model_dir={model_dir}: no config.json there; train first, or name the "
            "folder of a run"
        )
    with tf.io.gfile.GFile(path) as file:
        try:
            return config_lib.loads(file.read())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def write_passport(model_dir: str, passport: passports.Passport) -> None:
    """Writes passport.json: the network as built, with what pretrained weights want."""
    files.write_whole(f"{model_dir}/passport.json", passport.dumps() + "\n")


def read_variant(model_dir: str) -> variants.Variant | None:
    """The network of the run in a folder; None in folders older than passports."""
    path = f"{model_dir}/passport.json"
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        try:
            return passports.loads(file.read()).variant
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def check_config(model_dir: str, config: config_lib.Config) -> None:
    """Checks that a folder's run, if it holds one, is the one configured.

    Raises:
        ValueError: naming the settings that differ.
    """
    if not tf.io.gfile.exists(f"{model_dir}/config.json"):
        return
    saved = read_config(model_dir)
    differing = ", ".join(
        f"{name}={getattr(saved, name)} (now {getattr(config, name)})"
        for name in config_lib.conflicts(saved, config)
    )
    if differing:
        raise ValueError(
            f"model_dir={model_dir} holds a run with {differing}: use its settings to "
            "continue it, or another model_dir for a new run"
        )


def write_config(model_dir: str, config: config_lib.Config) -> None:
    """Writes config.json."""
    files.write_whole(f"{model_dir}/config.json", config_lib.dumps(config))


def latest_checkpoint(model_dir: str, folder: str = "checkpoints") -> str | None:
    """The newest checkpoint whose files are there; the user may have deleted some."""
    record = tf.train.get_checkpoint_state(f"{model_dir}/{folder}")
    if record is None:
        _check_readable(f"{model_dir}/{folder}/checkpoint")
    paths = record.all_model_checkpoint_paths if record else []
    there = (path for path in reversed(paths) if tf.io.gfile.exists(f"{path}.index"))
    return next(there, None)


def _check_readable(path: str) -> None:
    """Raises what get_checkpoint_state only logs: a run would start over."""
    if tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            file.read()


def inference_checkpoint(model_dir: str) -> str:
    """The weights to serve: the best on held-out data, else the latest.

    Raises:
        ValueError: if the folder holds no checkpoint.
    """
    for folder in ("best", "checkpoints"):
        path = latest_checkpoint(model_dir, folder)
        if path:
            return path
    raise ValueError(f"model_dir={model_dir}: no checkpoint there yet; train first")


class Checkpoints:
    """The two checkpoint folders of a run.

    Args:
        model_dir: the run's folder.
        state: made in the strategy's scope.
        writes: whether saving does anything; one host does it for all, for what is
            saved is the same on all and saving it takes no other host.
    """

    def __init__(
        self, model_dir: str, state: state_lib.TrainState, *, writes: bool = True
    ):
        self._model_dir = model_dir
        self._state = state
        self._writes = writes
        self._latest = bucket_checkpoints.manager(
            state.checkpoint(),
            f"{model_dir}/checkpoints",
            _KEPT_CHECKPOINTS,
            device=state.step.device,
        )
        self._best = bucket_checkpoints.manager(
            state.inference_checkpoint(),
            f"{model_dir}/best",
            1,
            device=state.step.device,
        )

    def restore(self) -> bool:
        """Continues from the latest checkpoint, if there is one.

        Raises:
            ValueError: naming a checkpoint that does not fit or is damaged.
        """
        path = latest_checkpoint(self._model_dir)
        if path is None:
            return False
        try:
            status = self._latest.checkpoint.restore(path)
            status.assert_existing_objects_matched()
        except tf.errors.UnavailableError:
            raise  # of another host or a bucket: the checkpoint is none the worse
        except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"checkpoint {path} cannot be restored ({error}); delete it to fall "
                "back to the one before, or use another model_dir"
            ) from None
        return True

    def save(self) -> None:
        """Saves everything, to continue from."""
        self._save(self._latest)

    def save_best(self) -> None:
        """Saves the weights to serve."""
        self._save(self._best)

    def _save(self, manager: tf.train.CheckpointManager) -> None:
        if self._writes:
            manager.save(checkpoint_number=self._state.step.numpy())


def append_metrics(model_dir: str, kind: str, *, step: int, epoch: float, **values):
    """Appends one JSON object to metrics.jsonl; `kind` is "train" or "eval".

    `model_dir` is an `outbox.Outbox`'s folder, to which appending costs little. A value
    that is not finite becomes null, which JSON can say.
    """
    record = {"kind": kind, "step": step, "epoch": round(epoch, 4), **values}
    for name, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            record[name] = None
    with tf.io.gfile.GFile(f"{model_dir}/{METRICS}", "a") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(model_dir: str) -> list[dict]:
    """The objects of metrics.jsonl, oldest first."""
    with tf.io.gfile.GFile(f"{model_dir}/{METRICS}") as file:
        return [json.loads(line) for line in file.read().splitlines()]


def drop_metrics_after(model_dir: str, step: int) -> None:
    """Drops the lines of steps that a resumed run is about to take again."""
    path = f"{model_dir}/{METRICS}"
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines(keepends=True)
    kept = "".join(line for line in lines if _is_whole(line, step))
    files.write_whole(path, kept)


def _is_whole(line: str, last_step: int) -> bool:
    """Whether a line was written to its end and tells of a step up to `last_step`."""
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= last_step
    except (ValueError, KeyError):
        return False
