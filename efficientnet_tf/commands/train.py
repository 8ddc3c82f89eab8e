"""--mode=train and train_and_eval: trains, scores the best weights, exports them."""

import os
import sys

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.commands import evaluate, export
from efficientnet_tf.config import Config
from efficientnet_tf.export import export_folder
from efficientnet_tf.hardware import agreement
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports import repeat, report
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import label_kinds, loop
from efficientnet_tf.training.predictions import Predictions


def run(
    strategy: tf.distribute.Strategy,
    hosts: agreement.Hosts,
    *,
    config: Config,
    model_dir: str,
    export_dir: str | None = None,
    report_dir: str | None = None,
) -> dict:
    """Trains, or continues the run in a folder.

    Args:
        strategy: the strategy that `devices.make_strategy` made.
        hosts: the hosts of the strategy.
        config: the run's configuration.
        model_dir: the run's folder.
        export_dir: the folder of the SavedModel; None only trains, without scores on
            the validation data and without an export.
        report_dir: the folder of the report on the scores; None writes none.

    Returns:
        On the chief, the result of `loop.train`, "model_dir", "export_dir" and
        "report", the path of the page; on other hosts an empty dict.
    """
    run_dir = RunDir(model_dir)
    run_dir.check_writable()
    asked, config = config, run_dir.as_begun(config)
    if config != asked and hosts.is_chief:
        print(
            f"{model_dir}: goes on with --noexif, as it began; a new run turns images"
        )
    if export_dir is not None:
        export_folder.check_target(export_dir)
    if report_dir not in (None, model_dir):
        files.check_writable(report_dir, label="report_dir=")
    kept = Predictions() if report_dir else None
    # Another folder may hold the report of another run.
    page = f"{model_dir}/{report.PAGE}" if report_dir == model_dir else None
    result = loop.train(
        config,
        model_dir=model_dir,
        strategy=strategy,
        validate=export_dir is not None,
        predictions=kept,
        report=page,
    )
    if not hosts.is_chief:
        return {}
    result["model_dir"] = model_dir
    if result["finished"] and export_dir is not None:
        opened = Classifier.of_run(model_dir)
        evaluate.print_scores(result, label_kinds.of(config.multi_label))
        result |= export.save(opened, export_dir)
        if kept is not None and not kept.are_there:
            result["report"] = page
        elif report_dir is not None and kept is not None:
            commands = repeat.commands(report_dir, trained=config, model_dir=model_dir)
            evaluated = report.Evaluated(
                config, opened, result, kept, commands, model_dir
            )
            result["report"] = report.write(report_dir, evaluated)
        _print_next_steps(model_dir)
    return result


def _print_next_steps(model_dir: str) -> None:
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    print(
        f"run           {model_dir}: config.json, metrics.jsonl, checkpoints/, best/\n"
        f"TensorBoard   tensorboard --logdir {model_dir}\n"
        f"\n"
        f"What to try next:\n"
        f"  {python} main.py --mode=predict --model_dir={model_dir} IMAGE ...\n"
        f"  {python} main.py --mode=eval --model_dir={model_dir}\n"
        f"  {python} main.py --dataset=imagenet --data_dir=YOUR_TFRECORDS\n"
        f"  {python} main.py --help"
    )
