"""Commands that repeat a run or an evaluation."""

import shlex
from collections.abc import Mapping
from typing import Any

from efficientnet_tf import config as config_lib


def commands(
    report_dir: str,
    *,
    trained: config_lib.Config | None = None,
    model_dir: str | None = None,
    weights: str | None = None,
    model: str | None = None,
    ema: bool = True,
    chosen: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Returns the commands by what they do: "train", for a run, and "evaluate".

    Args:
        report_dir: folder of the report.
        trained: the run's configuration; None for weights from outside.
        model_dir: the run's folder; None for weights from outside.
        weights: the weights, as the user named them.
        model: the network's name, if the user named it.
        ema: whether moving averages were taken.
        chosen: fields of Config that the user chose; None counts as not chosen.
    """
    given = {name: v for name, v in (chosen or {}).items() if v is not None}
    named = {"model_dir": model_dir, "weights": weights, "model": model}
    averages = None if ema else False
    elsewhere = None if report_dir == model_dir else report_dir
    reported = {"weights_ema": averages, "report": True, "report_dir": elsewhere}
    told = {"evaluate": _command({"mode": "eval"} | given | named | reported)}
    if trained is None:
        return told
    return {"train": _command({"model_dir": model_dir} | deciding(trained))} | told


def deciding(config: config_lib.Config) -> dict[str, Any]:
    """Returns the settings that decide all others, with their recipe and facts.

    Args:
        config: configuration of the run.
    """
    saved = {name: getattr(config, name) for name in config_lib.FIELDS}
    always = ["recipe", "model", "dataset", "data_dir", "weights", "num_classes"]
    if config.val_fraction:
        always.append("val_fraction")  # which decides how many images there are
    chosen = {name: saved[name] for name in always if saved[name] is not None}
    try:
        implied = config_lib.create(**chosen)
    except ValueError:  # the recipe or the data set of another day
        return {name: value for name, value in saved.items() if value is not None}
    return chosen | {
        name: value
        for name, value in saved.items()
        if value not in (None, getattr(implied, name))
    }


def _command(flags: Mapping[str, Any]) -> str:
    words = [
        f"--{name}" if value is True else f"--{name}={_word(value)}"
        for name, value in flags.items()
        if value is not None
    ]
    return shlex.join(["python", "main.py", *words])


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
