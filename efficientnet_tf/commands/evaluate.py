"""--mode=eval: scores a run, or weights from outside, on the validation data."""

import functools
from typing import Any

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.hardware import agreement
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports import repeat, report
from efficientnet_tf.runs import run_model
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import evaluation, label_kinds
from efficientnet_tf.training.predictions import Predictions

_SHOWN = 5  # names of classes


def run(
    strategy: tf.distribute.Strategy,
    hosts: agreement.Hosts,
    *,
    model_dir: str | None = None,
    weights: str | None = None,
    report_dir: str | None = None,
    **of_weights: Any,
) -> dict:
    """Scores a run or weights, prints the scores, and reports on them.

    Args:
        strategy: the strategy that `devices.make_strategy` made.
        hosts: the hosts of the strategy.
        model_dir: a run's folder; None scores `weights`.
        weights: a file, a TF1 checkpoint or a release.
        report_dir: the folder of the report; None writes none.
        **of_weights: `model`, `ema` and `chosen`, see `run_model.open_weights`; for a
            run only `chosen`, the fields of Config that may change.

    Returns:
        The result of `evaluation.evaluate` on the chief, with "report", the path of the
        page, if there is one; an empty dict on other hosts. If the checkpoint is gone
        after the evaluation, a line says so, and there is no page.
    """
    if report_dir is not None:
        files.check_writable(report_dir, label="report_dir=")
    kept = Predictions() if report_dir else None
    trained = None
    if weights:
        config, found = run_model.open_weights(weights, **of_weights)
        result = evaluation.evaluate_weights(
            config, found, strategy=strategy, predictions=kept
        )
        load = functools.partial(run_model.of_weights, config, found)
    elif model_dir:
        run_dir = RunDir(model_dir)
        trained, config = run_dir.read_config(), run_dir.read_config(**of_weights)
        result = evaluation.evaluate(
            config, model_dir=model_dir, strategy=strategy, predictions=kept
        )
        path = result["checkpoint"]
        load = functools.partial(run_model.of_checkpoint, run_dir, config, path)
    else:
        raise ValueError("neither model_dir nor weights is given")
    if not hosts.is_chief:
        return {}
    print_scores(result, label_kinds.of(config.multi_label))
    if report_dir is None or kept is None:
        return result
    try:
        model = load()
    except ValueError as error:  # a training beside it has replaced the checkpoint
        evaluation.say([f"warning       {error}; the report is not written"])
        return result
    commands = repeat.commands(
        report_dir, trained=trained, model_dir=model_dir, weights=weights, **of_weights
    )
    evaluated = report.Evaluated(
        config, Classifier.of(model, config), result, kept, commands, model_dir
    )
    return result | {"report": report.write(report_dir, evaluated)}


def print_scores(result: dict, kind: label_kinds.LabelKind) -> None:
    """Prints what `evaluation.evaluate` returned of labels of a kind."""
    print(
        f"validation    {kind.in_words(result)} on {result['examples']} images, "
        f"{result['weights']} weights"
    )
    first, more = result["class_names"][:_SHOWN], len(result["class_names"]) - _SHOWN
    print(f"classes       {', '.join(first)}" + f" and {more} more" * (more > 0))
