"""--mode=show: prints every setting of a run, and where its value comes from."""

from typing import Any

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf import counting
from efficientnet_tf.runs import inspection
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import build

_COLUMNS = (
    *("name", "kind", "kernel_size", "strides", "input_filters", "output_filters"),
    *("expand_ratio", "se_filters", "drop_rate"),
)


def run(*, resolved: config_lib.Resolved, run_dir: str | None = None) -> dict:
    """Prints the settings, the network's blocks and the steps.

    Args:
        resolved: the run's configuration; its data is opened, to count the images.
        run_dir: folder of a run, whose files are checked too.

    Returns:
        "settings" ("value" and "origin" of each), "model" ("params", "macs" and
        "blocks", a dict each), "steps" (of the whole run, an epoch and the warm-up),
        "files" (what is wrong with each file of the run; None if nothing is) and
        "failed" (whether anything is).
    """
    config = resolved.config
    found = _files(run_dir) if run_dir else {}
    result: dict[str, Any] = {
        "settings": {
            name: {"value": getattr(config, name), "origin": origin}
            for name, origin in resolved.origins.items()
        },
        "model": _model(config),
        "steps": _steps(config),
        "files": found,
        "failed": any(found.values()),
    }
    for name, setting in result["settings"].items():
        print(f"{name:23} {setting['value']!s:23} {setting['origin']}")
    print()
    _print_table(result["model"]["blocks"])
    print(
        f"\n{config.model}: {result['model']['params']:,} parameters, "
        f"{result['model']['macs']:,} MACs at {config.image_size} pixels"
    )
    print(", ".join(f"{name} {value:,}" for name, value in result["steps"].items()))
    for path, fault in found.items():
        print(f"{path}: {fault or 'is whole'}")
    return result


def _files(run_dir: str) -> dict[str, str | None]:
    """Returns what is wrong with the files of a run; {} where none was begun."""
    there = tf.io.gfile.isdir(run_dir) and tf.io.gfile.listdir(run_dir)
    return inspection.inspect(RunDir(run_dir)) if there else {}


def _model(config: config_lib.Config) -> dict:
    count = counting.count(
        config.variant, image_size=config.image_size, classes=config.num_classes
    )
    blocks = [
        {column: getattr(block, column) for column in _COLUMNS}
        for block in config.expanded
    ]
    return {"params": count.params, "macs": count.macs, "blocks": blocks}


def _steps(config: config_lib.Config) -> dict:
    images = build.open_source(config).splits.train_images
    if not images:
        raise ValueError(f"data_dir={config.data_dir}: holds no training images")
    return {
        "train_images": images,
        "epoch_steps": config.steps(1.0, train_images=images),
        "train_steps": config.steps(config.train_epochs, train_images=images),
        "warmup_steps": config.warmup_steps(train_images=images),
    }


def _print_table(rows: list[dict]) -> None:
    lines = [_COLUMNS, *([_cell(row[name]) for name in _COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_COLUMNS))]
    for line in lines:
        print("  ".join(map(str.rjust, line, widths)))


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
