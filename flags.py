"""The command line: run flags by hand, one flag for each field of Config."""

import contextlib
import dataclasses
import difflib
import typing
from collections.abc import Iterator

from absl import flags as absl_flags

from efficientnet_tf import config, files, recipes, variants
from efficientnet_tf.data import detection
from efficientnet_tf.hardware import preflight
from efficientnet_tf.hardware import tpu as tpu_lib
from efficientnet_tf.planning import chips, settings

FLAGS = absl_flags.FLAGS

WITH_WEIGHTS = ("eval", "export", "predict", "cam")  # of a run, or of --weights
WITH_HOSTS = ("train_and_eval", "train", "eval", "devices")  # where TF_CONFIG counts
WITH_IMAGES = ("predict", "cam")  # named on the command line
MODES = ("train_and_eval", "train", *WITH_WEIGHTS, "plan", "devices")

absl_flags.DEFINE_enum(
    "mode",
    MODES[0],
    MODES,
    "What to do; eval, export, predict and cam take a run, or --weights; plan says "
    "whether a step fits a TPU that need not be there; devices tries the hardware.",
)
absl_flags.DEFINE_enum(
    "device", "auto", ["auto", "tpu", "gpu", "cpu"], "Hardware to run on."
)
absl_flags.DEFINE_string(
    "tpu", None, "Cloud TPU name, grpc://HOST:PORT, or local on a TPU VM."
)
absl_flags.DEFINE_enum(
    "tpu_runtime",
    "auto",
    tpu_lib.RUNTIMES,
    "What drives this machine's TPU: pjrt (v5e, v5p, v6e and later) or "
    "stream_executor (v2 to v4); auto goes by the accelerator type.",
)
absl_flags.DEFINE_string(
    "zone", None, "The zone of the TPU that --tpu names; default this machine's."
)
absl_flags.DEFINE_string(
    "project", None, "The project of the TPU that --tpu names; default this machine's."
)
absl_flags.DEFINE_integer(
    "num_cpu_devices",
    1,
    "Virtual CPU devices, to try a distributed run on one machine.",
    lower_bound=1,
)
absl_flags.DEFINE_string(
    "model_dir", None, "The run's folder; default runs/MODEL-DATASET."
)
absl_flags.DEFINE_string(
    "export_dir", None, "Where the SavedModel goes; default MODEL_DIR/saved_model."
)
absl_flags.DEFINE_string(
    "cam_dir",
    None,
    "Where class activation maps go; default MODEL_DIR/cam, or cam with --weights.",
)
absl_flags.DEFINE_integer(
    "cam_class",
    None,
    "The class to map, as predict numbers them; default the most likely.",
)
absl_flags.DEFINE_string(
    "chip", None, "The TPU to plan for: v2, v3, v4, v5e, v5p or v6e; or cpu, or gpu."
)
absl_flags.DEFINE_string(
    "slice", None, "The slice to plan for, such as 4x4 chips; default one device."
)
absl_flags.DEFINE_enum(
    "plan_step", "train", ["train", "eval", "serve"], "The step to plan."
)
absl_flags.DEFINE_boolean(
    "find_batch", False, "Plan the largest batch that fits one device."
)
absl_flags.DEFINE_float(
    "effort",
    -1.0,
    "The TPU compiler's, for plans.",
    lower_bound=-1.0,
    upper_bound=1.0,
)
absl_flags.DEFINE_string(
    "dump", None, "Folder for a plan's HLO and tables by layer and fusion."
)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def _define_config_flags() -> None:
    types = typing.get_type_hints(config.Config)
    for field in dataclasses.fields(config.Config):
        kinds = typing.get_args(types[field.name]) or (types[field.name],)
        define = {
            bool: absl_flags.DEFINE_boolean,
            int: absl_flags.DEFINE_integer,
            float: absl_flags.DEFINE_float,
            str: absl_flags.DEFINE_string,
        }[kinds[0]]
        # None tells a flag that was not given, which leaves the value to the recipes.
        define(field.name, None, _help(field))


def _help(field: dataclasses.Field) -> str:
    default = field.default
    if field.name in recipes.FIELDS:
        default = f"{default}, or the model's or dataset's recipe"
    allowed = field.metadata["allowed"].words
    return (
        f"{field.metadata['help']} (default: {default}"
        f"{f'; allowed: {allowed}' if allowed else ''})"
    )


_define_config_flags()


def chosen() -> dict:
    """The Config fields that flags were given for; None for the others."""
    return {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(config.Config)
    }


def parse(argv: list[str]) -> list[str]:
    """Parses a command line; returns what is left of it.

    Raises:
        ValueError: naming the flag and what is allowed, or the nearest known name.
    """
    try:
        return FLAGS(argv)
    except absl_flags.UnrecognizedFlagError as error:
        near = " or ".join(f"--{name}" for name in _nearest(error.flagname))
        raise ValueError(
            f"unknown flag --{error.flagname}; did you mean {near}?"
        ) from None
    except absl_flags.Error as error:
        raise ValueError(str(error)) from None


def _nearest(unknown: str) -> list[str]:
    """The known names that contain the unknown one, else those spelled most like it."""
    unknown = unknown.replace("-", "_")
    known = {f.name for f in FLAGS.get_key_flags_for_module(__name__)}
    containing = sorted(name for name in known if unknown in name)
    return containing or difflib.get_close_matches(unknown, known, n=2, cutoff=0)


@contextlib.contextmanager
def _as_flags() -> Iterator[None]:
    """Writes the setting that an error begins with as a flag: "--image_size=2: ..."."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"--{error}") from None


def check() -> None:
    """Checks each flag's value by itself, and those of the hardware together.

    Raises:
        ValueError: naming the flag and what is allowed.
    """
    with _as_flags():
        config.check(**chosen())
    for name in ("data_dir", "model_dir", "export_dir", "cam_dir"):
        files.check_name(FLAGS[name].value or "", label=f"--{name}=")
    _check_hardware()
    if FLAGS.weights and FLAGS.mode in WITH_WEIGHTS:
        _check_weights_alone()
    if FLAGS.mode == "plan" and not FLAGS.chip:
        raise ValueError("--mode=plan: name the --chip, such as v5e")
    if FLAGS.dump and FLAGS.find_batch:
        raise ValueError(f"--dump={FLAGS.dump}: is of one batch, not of --find_batch")
    if FLAGS.slice and FLAGS.chip in chips.HERE:
        raise ValueError(f"--slice={FLAGS.slice}: is of a TPU, not of {FLAGS.chip}")
    if f"{model_dir()}/".startswith(f"{export_dir()}/"):
        raise ValueError(
            f"--export_dir={export_dir()} is or holds --model_dir={model_dir()}: the "
            "SavedModel would replace the run"
        )


def _check_hardware() -> None:
    """Checks the flags of the hardware, and of the data that a TPU needs."""
    names = ("tpu", "tpu_runtime", "zone", "project", "num_cpu_devices")
    trains = FLAGS.mode in ("train", "train_and_eval")
    remote = FLAGS.tpu if trains or FLAGS.mode == "eval" else None
    with _as_flags():
        preflight.check(FLAGS.device, **{name: FLAGS[name].value for name in names})
        # Before anyone looks into it.
        preflight.check_paths(remote, data_dir=FLAGS.data_dir)
    name = dataset()
    if trains and (FLAGS.tpu or FLAGS.device == "tpu") and not name:
        raise ValueError(
            "--data_dir is missing: a TPU trains on TFRecords (--data_dir=gs://...), "
            "or is timed with --dataset=fake"
        )
    folders = {"model_dir": model_dir(), "export_dir": export_dir()}
    if not FLAGS.data_dir and name not in (None, "fake"):
        folders["data_dir"] = f"(the cache of {name})"
    with _as_flags():
        preflight.check_paths(remote, **folders)


def _check_weights_alone() -> None:
    """Checks flags that name weights to be used as they are, without a run."""
    if FLAGS.model_dir:
        raise ValueError(
            f"--weights={FLAGS.weights} and --model_dir={FLAGS.model_dir}: "
            f"--mode={FLAGS.mode} takes one of them"
        )
    if FLAGS.mode == "eval" and not (FLAGS.dataset or FLAGS.data_dir):
        raise ValueError(
            "--mode=eval --weights: name the images, with --dataset and --data_dir"
        )
    if FLAGS.mode == "export" and not FLAGS.export_dir:
        raise ValueError("--mode=export --weights: name the --export_dir")


def to_config() -> config.Config:
    """The run that the parsed flags describe.

    Raises:
        ValueError: naming the flag and what is allowed.
    """
    with _as_flags():
        return config.create(**chosen())


def to_planned_config(*, replicas: int, batch: int | None = None) -> config.Config:
    """The run that the parsed flags describe, as far as a step is concerned.

    Args:
        replicas: devices that share the batch.
        batch: of one device, in place of the flags'.

    Raises:
        ValueError: naming the flag and what is allowed.
    """
    fields = chosen() | {"dataset": dataset()}
    with _as_flags():
        return settings.planned(fields, replicas=replicas, batch=batch)


def of_weights(stated: dict) -> config.Config:
    """What the flags say of weights from outside, and the weights of themselves.

    Args:
        stated: the fields of Config that the weights fix.

    Raises:
        ValueError: naming the flag and what is allowed.
    """
    chosen_fields = chosen()
    for name in ("weights_skip", "blocks", "width_coefficient", "depth_coefficient"):
        if chosen_fields[name] is not None:
            raise ValueError(
                f"--{name}={chosen_fields[name]}: --mode={FLAGS.mode} takes the "
                "network of --weights as it is; leave it out"
            )
    if "model" in stated and chosen_fields["model"] not in (None, stated["model"]):
        raise ValueError(
            f"--weights={FLAGS.weights}: holds {stated['model']}, not "
            f"{chosen_fields['model']}; leave --model out"
        )
    if not (chosen_fields["model"] or "model" in stated):
        raise ValueError(
            f"--weights={FLAGS.weights}: does not say which model it holds; name it "
            "with --model"
        )
    # No data set's recipe where no data set is named.
    chosen_fields["dataset"] = dataset() or "fake"
    with _as_flags():
        return config.create(stated, **chosen_fields)


def of_trained_run(saved: config.Config) -> config.Config:
    """A finished run's Config, with what flags may still change.

    Raises:
        ValueError: naming a flag that contradicts the run.
    """
    with _as_flags():
        return config.override(saved, **chosen())


def model() -> variants.Variant | None:
    """The table row of `--model`, if it is given."""
    return variants.get_variant(FLAGS.model) if FLAGS.model else None


def model_dir() -> str:
    """`--model_dir`, or the default folder of the model and dataset chosen."""
    if FLAGS.model_dir:
        return FLAGS.model_dir.rstrip("/")
    name = (dataset() or config.Config.dataset).removeprefix("tfds:")
    return f"runs/{FLAGS.model or config.Config.model}-{name}"


def dataset() -> str | None:
    """`--dataset`, or what `--data_dir` holds; None where neither is given.

    Raises:
        ValueError: if the folder does not say what it holds.
    """
    if FLAGS.dataset or not FLAGS.data_dir:
        return FLAGS.dataset
    with _as_flags():
        return detection.detect_dataset(FLAGS.data_dir)


def export_dir() -> str:
    """`--export_dir`, or the default folder below the run's."""
    return (FLAGS.export_dir or f"{model_dir()}/saved_model").rstrip("/")


def cam_dir() -> str:
    """`--cam_dir`, or the default folder below the run's or here."""
    default = "cam" if FLAGS.weights else f"{model_dir()}/cam"
    return (FLAGS.cam_dir or default).rstrip("/")


def cam_class(of: config.Config) -> int | None:
    """`--cam_class` as the model counts it, from 0 before the label offset.

    Raises:
        ValueError: if the model has no such class.
    """
    if FLAGS.cam_class is None:
        return None
    first = -of.label_offset
    if not first <= FLAGS.cam_class < first + of.num_classes:
        raise ValueError(
            f"--cam_class={FLAGS.cam_class}: allowed are {first} to "
            f"{first + of.num_classes - 1}"
        )
    return FLAGS.cam_class - first
