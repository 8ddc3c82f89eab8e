"""--mode=eval: scores a run, or weights from outside, on the validation data."""

from typing import Any

import tensorflow as tf

from efficientnet_tf.hardware import agreement
from efficientnet_tf.runs import run_model
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import evaluation
from efficientnet_tf.weights import weights_file

_SHOWN = 5  # names of classes


def run(
    strategy: tf.distribute.Strategy,
    hosts: agreement.Hosts,
    *,
    model_dir: str | None = None,
    weights: str | None = None,
    **of_weights: Any,
) -> dict:
    """Scores a run or weights, and prints the scores.

    Args:
        strategy: the strategy that `devices.make_strategy` made.
        hosts: the hosts of the strategy.
        model_dir: a run's folder; None scores `weights`.
        weights: a file, a TF1 checkpoint or a release.
        **of_weights: `model`, `ema` and `chosen`, see `run_model.open_weights`; for a
            run only `chosen`, the fields of Config that may change.

    Returns:
        The result of `evaluation.evaluate` on the chief; an empty dict on other hosts.
    """
    if weights:
        config, found = run_model.open_weights(weights, **of_weights)
        if hosts.is_chief:
            weights_file.print_notes(found)
        result = evaluation.evaluate_weights(config, found, strategy=strategy)
    elif model_dir:
        config = RunDir(model_dir).read_config(**of_weights)
        result = evaluation.evaluate(config, model_dir=model_dir, strategy=strategy)
    else:
        raise ValueError("neither model_dir nor weights is given")
    if not hosts.is_chief:
        return {}
    print_scores(result)
    return result


def print_scores(result: dict) -> None:
    """Prints what `evaluation.evaluate` returned."""
    print(
        f"validation    top-1 {result['top_1']:.2%}, top-5 {result['top_5']:.2%} on "
        f"{result['examples']} images, {result['weights']} weights"
    )
    first, more = result["class_names"][:_SHOWN], len(result["class_names"]) - _SHOWN
    print(f"classes       {', '.join(first)}" + f" and {more} more" * (more > 0))
