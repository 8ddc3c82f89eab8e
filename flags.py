"""The command line: a flag for each field of a section, and --mode."""

import dataclasses
import os
import re
from collections.abc import Callable

from absl import flags as absl_flags

from efficientnet_tf import config, files, settings
from efficientnet_tf.command_line import (
    answers,
    arguments,
    help_texts,
    old_flags,
    values,
)
from efficientnet_tf.command_line.modes import Mode
from efficientnet_tf.commands.settings import Command
from efficientnet_tf.data import detection
from efficientnet_tf.hardware import packages, preflight
from efficientnet_tf.hardware.settings import Hardware
from efficientnet_tf.planning import chips, planned_run
from efficientnet_tf.serve import listening
from efficientnet_tf.serve.settings import Serving

FLAGS = absl_flags.FLAGS
FIELDS: dict[str, dataclasses.Field] = {}  # of all flags of ours, by name
_DEFINE: dict[type, Callable] = {
    bool: absl_flags.DEFINE_boolean,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    str: absl_flags.DEFINE_string,
}


def _define(section: type[settings.Section], *, with_defaults: bool = False) -> None:
    """Defines a flag for each field of a section; None means that it was not given."""
    for field in dataclasses.fields(section):
        default = field.default if with_defaults else None
        _DEFINE[settings.kind(field)](field.name, default, help_texts.of(field))
        FIELDS[field.name] = field


_define(config.Config)
_define(Hardware)
_define(Command, with_defaults=True)
_define(Serving, with_defaults=True)


def chosen() -> dict:
    """Returns the values of Config's fields that flags give; None for the others."""
    return {name: FLAGS[name].value for name in config.FIELDS}


def parse(argv: list[str]) -> list[str]:
    """Parses a command line; returns the arguments that are no flags.

    Raises:
        ValueError: naming every flag that is unknown, and what it is now; or the first
            one whose value is not allowed, and what is.
    """
    FLAGS.set_gnu_getopt(True)  # flags may follow images
    try:
        words = FLAGS.read_flags_from_files(argv[1:])
        found = arguments.split(words, _takes)
        answer = answers.find(found, FLAGS, suggested=FIELDS, program=argv[0])
        if answer:
            raise ValueError(answer)
        for one in found:
            if one.name is not None:
                _check_text(one.name, one.value)
        return FLAGS([argv[0], *words])
    except absl_flags.CantOpenFlagFileError as error:
        raise ValueError(f"--flagfile: {error.__cause__ or error}") from None
    except absl_flags.Error as error:  # of a flag that this file does not define
        raise ValueError(str(error).removeprefix("flag ")) from None


def _check_text(name: str, text: str | None) -> None:
    """Raises ValueError unless a text is a value of a flag, ours or absl's own."""
    if name in FIELDS:
        values.check(FIELDS[name], text)
    else:
        values.check_kind(name, text, FLAGS[name].flag_type())


def _takes(name: str) -> str | None:
    """Says what follows a flag; see `arguments.split`."""
    if name in FLAGS:
        return "bool" if FLAGS[name].boolean else "text"
    row = old_flags.table().get(name.replace("-", "_"))
    return row.takes if row else None


def wants_json(argv: list[str]) -> bool:
    """Whether a command line, which need not be right, asks for JSON."""
    found = arguments.split(argv[1:], _takes)
    given = [one.value for one in found if one.name == "json"]
    return bool(given) and values.read(given[-1] or "", bool) is not False


def in_words(error: Exception) -> str:
    """Returns an error's text; a setting's name at its beginning becomes a flag."""
    begins = re.match(r"(\w+)(=| is missing|: has no value)", str(error))
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
    return Hardware(**_given(Hardware))


def _given(section: type[settings.Section]) -> dict:
    """Returns the values of a section's fields that have one."""
    values = {f.name: FLAGS[f.name].value for f in dataclasses.fields(section)}
    return {name: value for name, value in values.items() if value is not None}


def check() -> None:
    """Raises ValueError for a flag that is wrong by itself, or with the hardware's."""
    for name, field in FIELDS.items():
        if FLAGS[name].value is not None:
            settings.check(field, FLAGS[name].value)
    if FLAGS.chip:
        planned_run.replicas(FLAGS.chip, FLAGS.slice)
    folders = [f"{kind}_dir" for kind in ("data", "model", "export", "cam", "report")]
    for name in (*folders, "output"):
        files.check_name(FLAGS[name].value or "", label=f"--{name}=")
    hardware()
    # Before the folder is opened to find out what it holds.
    preflight.check_paths(_remote(), data_dir=FLAGS.data_dir)
    reading = {"on_bad_record": FLAGS.on_bad_record, "cache": FLAGS.cache}
    preflight.check_reading(_remote(), **reading)


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
    if not FLAGS.weights:
        return {"model_dir": model_dir(), "chosen": chosen()}
    _check_one_of("weights", "model_dir")
    return {
        "weights": FLAGS.weights,
        "model": FLAGS.model,
        "ema": FLAGS.weights_ema is not False,
        "chosen": chosen() | {"dataset": dataset()},
    }


def _check_one_of(*names: str) -> None:
    """Raises ValueError if more than one of some flags is given."""
    given = [f"--{name}={FLAGS[name].value}" for name in names if FLAGS[name].value]
    if len(given) > 1:
        told = " and ".join(given[:2])
        raise ValueError(f"{told}: --mode={FLAGS.mode} takes one of them")


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
    return _for_classifier() | {
        "export_dir": export_dir(),
        "export_formats": settings.listed(FLAGS.export_formats),
        "gate": FLAGS.gate,
        "max_pixels": FLAGS.max_pixels,
    }


def _for_predictions() -> dict:
    return _for_classifier() | {"output": FLAGS.output}


def _for_maps() -> dict:
    default = "cam" if FLAGS.weights else f"{model_dir()}/cam"
    directory = (FLAGS.cam_dir or default).rstrip("/")
    return _for_classifier() | {"directory": directory, "cam_class": FLAGS.cam_class}


def _for_serving() -> dict:
    packages.check_modules(listening.MODULES, extra="serve", of="mode=serve")
    serving = Serving(**_given(Serving))
    listening.listen(serving.host, serving.port).close()
    return {"serving": serving} | _for_served_model()


def _for_served_model() -> dict:
    """Returns arguments for an exported model, or for a classifier."""
    if not FLAGS.export_dir:
        return _for_classifier()
    _check_one_of("export_dir", "weights", "model_dir")
    return {"saved_model": export_dir()}


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
    planned_run.planned(fields, replicas=planned_run.replicas(FLAGS.chip, FLAGS.slice))
    return {name: FLAGS[name].value for name in names} | {
        "step": FLAGS.plan_step,
        "fields": fields,
    }


MODES = {
    "train_and_eval": Mode("train", _for_training_and_export, True, True),
    "train": Mode("train", _for_training, True, True),
    "eval": Mode("evaluate", _for_evaluation, True, True),
    "export": Mode("export", _for_export, takes_images=True, needs_images=False),
    "predict": Mode("predict", _for_predictions, takes_images=True),
    "cam": Mode("cam", _for_maps, takes_images=True),
    "serve": Mode("serve", _for_serving),
    "plan": Mode("plan", _for_plan),
    "list": Mode("list", dict),
    "check": Mode("check", lambda: {"config": to_config()}),
    "show": Mode(
        "show",
        lambda: {"resolved": config.resolve(**chosen()), "run_dir": FLAGS.model_dir},
    ),
    "devices": Mode("devices", dict, True),
}
_MODE = settings.setting(
    "what to do; eval, export, predict, cam and serve take a run, or --weights; serve "
    "takes an --export_dir too, and answers requests over HTTP; plan says whether a "
    "step fits a TPU that need not be there; list prints the models and "
    "their released weights; show prints every setting and where it comes from; "
    "check reads all data and lists what is wrong; devices tries the hardware",
    settings.choice(*MODES),
    default=next(iter(MODES)),
)
_define(dataclasses.make_dataclass("Mode", [("mode", str, _MODE)]), with_defaults=True)


def _meant(argument: str) -> str:
    """Guesses which flag an argument without one was meant for."""
    if argument in MODES:
        return f"; did you mean --mode={argument}?"
    return f"; did you mean --data_dir={argument}?" if os.path.isdir(argument) else ""


def mode(images: list[str]) -> tuple[Mode, dict]:
    """Checks the flags; returns the mode asked for and its command's arguments.

    Args:
        images: arguments of the command line that are no flags.

    Raises:
        ValueError: naming the flag and what is allowed.
    """
    found = MODES[FLAGS.mode]
    if images and not found.takes_images:
        raise ValueError(f"unexpected argument {images[0]!r}{_meant(images[0])}")
    if found.takes_images and found.needs_images and not images:
        raise ValueError(f"--mode={FLAGS.mode}: name one or more image files")
    check()
    arguments = found.arguments() | ({"images": images} if images else {})
    _check_folders()
    return found, arguments
