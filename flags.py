"""The command line: flags defined by hand, and one for each field of a section."""

import dataclasses
import re
from collections.abc import Callable

from absl import flags as absl_flags

from efficientnet_tf import config, files, recipes, settings
from efficientnet_tf.data import catalogue, detection
from efficientnet_tf.hardware import packages, preflight
from efficientnet_tf.hardware.settings import Hardware
from efficientnet_tf.planning import chips, planned_run
from efficientnet_tf.spelling import did_you_mean

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string(
    "model_dir", None, "The run's folder; default runs/MODEL-DATASET."
)
absl_flags.DEFINE_string(
    "export_dir", None, "Where the SavedModel goes; default MODEL_DIR/saved_model."
)
absl_flags.DEFINE_string(
    "cam_dir",
    None,
    "Folder for class activation maps; default MODEL_DIR/cam, or ./cam with --weights.",
)
absl_flags.DEFINE_boolean(
    "report",
    None,
    "Whether to write report.html, a page of the results (default: train_and_eval "
    "does, eval does not unless --report_dir is given).",
)
absl_flags.DEFINE_string(
    "report_dir",
    None,
    "Folder for report.html, predictions.csv and classes.csv; default MODEL_DIR, or "
    "./report with --weights.",
)
absl_flags.DEFINE_string(
    "cam_class",
    None,
    "The class to map, by its name or as predict numbers it; default the most likely.",
)
absl_flags.DEFINE_string(
    "output", None, "CSV file for predictions, a line for each image; local or gs://."
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
    "Effort of the TPU's compiler in plans, from -1 to 1.",
    lower_bound=-1.0,
    upper_bound=1.0,
)
absl_flags.DEFINE_string(
    "dump", None, "Folder for a plan's HLO and tables by layer and fusion."
)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def _define(section: type[settings.Section]) -> None:
    """Defines a flag for each field of a section; None means that it was not given."""
    for field in dataclasses.fields(section):
        define = {
            bool: absl_flags.DEFINE_boolean,
            int: absl_flags.DEFINE_integer,
            float: absl_flags.DEFINE_float,
            str: absl_flags.DEFINE_string,
        }[settings.kind(field)]
        define(field.name, None, _help(field))


def _help(field: dataclasses.Field) -> str:
    default = field.default
    if default is dataclasses.MISSING:
        default = f"the recipe's or the data's, {_PAPER[field.name]} for B0 on ImageNet"
    allowed = settings.allowed(field).words
    return (
        f"{field.metadata['help']} (default: {default}"
        f"{f'; allowed: {allowed}' if allowed else ''})"
    )


_PAPER = recipes.find("paper", "efficientnet-b0", "imagenet")[1] | catalogue.facts(
    "imagenet", None
)


_define(config.Config)
_define(Hardware)


def chosen() -> dict:
    """Returns the values of Config's fields that flags give; None for the others."""
    return {name: FLAGS[name].value for name in config.FIELDS}


def parse(argv: list[str]) -> list[str]:
    """Parses a command line; returns the arguments that are no flags.

    Raises:
        ValueError: naming the flag and what is allowed, or the nearest known name.
    """
    try:
        return FLAGS(argv)
    except absl_flags.UnrecognizedFlagError as error:
        known = (f.name for f in FLAGS.get_key_flags_for_module(__name__))
        name = error.flagname.replace("-", "_")
        hint = did_you_mean(name, known, prefix="--", always=True, most=2)
        raise ValueError(f"unknown flag --{error.flagname}{hint}") from None
    except absl_flags.Error as error:
        raise ValueError(str(error)) from None


def in_words(error: Exception) -> str:
    """Returns an error's text; a setting's name at its beginning becomes a flag."""
    begins = re.match(r"(\w+)(=| is missing)", str(error))
    return f"{'--' if begins and begins[1] in FLAGS else ''}{error}"


def to_config() -> config.Config:
    """The run that the parsed flags describe; see `Section` for the errors."""
    return config.create(**chosen())


def dataset() -> str | None:
    """`--dataset`, or what `--data_dir` holds; None where neither is given.

    Raises:
        ValueError: if the folder does not say what it holds.
    """
    if FLAGS.dataset or not FLAGS.data_dir:
        return FLAGS.dataset
    return detection.detect_dataset(FLAGS.data_dir)


def model_dir() -> str:
    """`--model_dir`, or the default folder of the model and dataset chosen."""
    if FLAGS.model_dir:
        return FLAGS.model_dir.rstrip("/")
    name = (dataset() or config.Config.dataset).removeprefix("tfds:")
    return f"runs/{FLAGS.model or config.Config.model}-{name}"


def export_dir() -> str:
    """`--export_dir`, or the default folder below the run's."""
    return (FLAGS.export_dir or f"{model_dir()}/saved_model").rstrip("/")


def hardware() -> Hardware:
    """The hardware that the parsed flags describe; see `Section` for the errors."""
    given = {f.name: FLAGS[f.name].value for f in dataclasses.fields(Hardware)}
    return Hardware(**{name: v for name, v in given.items() if v is not None})


def check() -> None:
    """Raises ValueError for a flag that is wrong by itself, or with the hardware's."""
    config.check(**chosen())
    folders = ("data_dir", "model_dir", "export_dir", "cam_dir", "report_dir")
    for name in (*folders, "output"):
        files.check_name(FLAGS[name].value or "", label=f"--{name}=")
    hardware()
    # Before the folder is opened to find out what it holds.
    preflight.check_paths(_remote(), data_dir=FLAGS.data_dir)
    preflight.check_reading(
        _remote(), on_bad_record=FLAGS.on_bad_record, cache=FLAGS.cache
    )


def _check_folders() -> None:
    """Checks that a remote TPU reaches the folders, and that none replaces another."""
    run, export = model_dir(), export_dir()
    name = None if FLAGS.data_dir else dataset()
    cache = f"(the cache of {name})" if name not in (None, "fake") else None
    preflight.check_paths(_remote(), model_dir=run, export_dir=export, data_dir=cache)
    if f"{run}/".startswith(f"{export}/"):
        raise ValueError(
            f"--export_dir={export} is or holds --model_dir={run}: the "
            "SavedModel would replace the run"
        )


def _remote() -> str | None:
    """Returns `--tpu` in a mode in which its hosts read and write files, else None."""
    return FLAGS.tpu if MODES[FLAGS.mode].keeps_files else None


# The arguments that each mode's command takes from the flags.


def _for_training() -> dict:
    if (FLAGS.tpu or FLAGS.device == "tpu") and not dataset():
        raise ValueError(
            "--data_dir is missing: a TPU trains on TFRecords (--data_dir=gs://...), "
            "or is timed with --dataset=fake"
        )
    return {"config": to_config(), "model_dir": model_dir()}


def _for_training_and_export() -> dict:
    report = _for_report(model_dir(), by_default=True)
    return _for_training() | {"export_dir": export_dir()} | report


def _for_classifier() -> dict:
    """Returns arguments for the run's classifier, or for weights taken as they are."""
    fields = chosen()
    if not FLAGS.weights:
        return {"model_dir": model_dir(), "chosen": fields}
    if FLAGS.model_dir:
        raise ValueError(
            f"--weights={FLAGS.weights} and --model_dir={FLAGS.model_dir}: "
            f"--mode={FLAGS.mode} takes one of them"
        )
    return {
        "weights": FLAGS.weights,
        "model": FLAGS.model,
        "ema": FLAGS.weights_ema is not False,
        "chosen": fields | {"dataset": dataset()},
    }


def _for_evaluation() -> dict:
    if FLAGS.weights and not (FLAGS.dataset or FLAGS.data_dir):
        raise ValueError(
            "--mode=eval with --weights needs the images: give --dataset and --data_dir"
        )
    default = "report" if FLAGS.weights else model_dir()
    return _for_classifier() | _for_report(default, by_default=False)


def _for_report(default: str, *, by_default: bool) -> dict:
    """Returns the folder of the report, if there is to be one."""
    wanted = FLAGS.report
    if wanted is None:
        wanted = by_default or FLAGS.report_dir is not None
    return {"report_dir": (FLAGS.report_dir or default).rstrip("/")} if wanted else {}


def _for_export() -> dict:
    if FLAGS.weights and not FLAGS.export_dir:
        raise ValueError("--mode=export --weights: name the --export_dir")
    return _for_classifier() | {"export_dir": export_dir()}


def _for_predictions() -> dict:
    if FLAGS.output and not FLAGS.output.endswith(".csv"):
        raise ValueError(f"--output={FLAGS.output}: allowed is a file named *.csv")
    return _for_classifier() | {"output": FLAGS.output}


def _for_maps() -> dict:
    default = "cam" if FLAGS.weights else f"{model_dir()}/cam"
    directory = (FLAGS.cam_dir or default).rstrip("/")
    return _for_classifier() | {"directory": directory, "cam_class": FLAGS.cam_class}


def _for_plan() -> dict:
    if not FLAGS.chip:
        raise ValueError("--mode=plan: name the --chip, such as v5e")
    if FLAGS.dump and FLAGS.find_batch:
        raise ValueError(
            f"--dump={FLAGS.dump}: works for one batch; leave out --find_batch"
        )
    if FLAGS.slice and FLAGS.chip in chips.LOCAL_DEVICES:
        raise ValueError(
            f"--slice={FLAGS.slice}: allowed for a TPU only, not for "
            f"--chip={FLAGS.chip}"
        )
    names = ("chip", "slice", "effort", "dump", "find_batch")
    fields = chosen() | {"dataset": dataset()}
    packages.check_compiles_here()
    replicas = planned_run.replicas(FLAGS.chip, FLAGS.slice)
    planned_run.planned(fields, replicas=replicas)
    return {name: FLAGS[name].value for name in names} | {
        "step": FLAGS.plan_step,
        "fields": fields,
    }


@dataclasses.dataclass(frozen=True)
class Mode:
    """One value of `--mode`.

    Args:
        command: the module of `efficientnet_tf.commands` whose `run` performs it.
        arguments: checks the mode's flags and returns the keyword arguments of `run`.
        on_devices: whether `run` takes a strategy and its hosts first.
        keeps_files: whether the hosts of a remote TPU read data and write files for it.
        takes_images: whether images are named on the command line.
    """

    command: str
    arguments: Callable[[], dict]
    on_devices: bool = False
    keeps_files: bool = False
    takes_images: bool = False


MODES = {
    "train_and_eval": Mode("train", _for_training_and_export, True, True),
    "train": Mode("train", _for_training, True, True),
    "eval": Mode("evaluate", _for_evaluation, True, True),
    "export": Mode("export", _for_export),
    "predict": Mode("predict", _for_predictions, takes_images=True),
    "cam": Mode("cam", _for_maps, takes_images=True),
    "plan": Mode("plan", _for_plan),
    "list": Mode("list", dict),
    "check": Mode("check", lambda: {"config": to_config()}),
    "show": Mode("show", lambda: {"resolved": config.resolve(**chosen())}),
    "devices": Mode("devices", dict, True),
}
absl_flags.DEFINE_enum(
    "mode",
    next(iter(MODES)),
    MODES,
    "What to do; eval, export, predict and cam take a run, or --weights; plan says "
    "whether a step fits a TPU that need not be there; list prints the models and "
    "their released weights; show prints every setting and where it comes from; "
    "check reads all data and lists what is wrong; devices tries the hardware.",
)


def mode(images: list[str]) -> tuple[Mode, dict]:
    """Checks the flags; returns the mode asked for and its command's arguments.

    Args:
        images: arguments of the command line that are no flags.

    Raises:
        ValueError: naming the flag and what is allowed.
    """
    found = MODES[FLAGS.mode]
    if images and not found.takes_images:
        raise ValueError(f"unexpected argument {images[0]!r}")
    if found.takes_images and not images:
        raise ValueError(f"--mode={FLAGS.mode}: name one or more image files")
    check()
    arguments = found.arguments() | ({"images": images} if images else {})
    _check_folders()
    return found, arguments
