"""--mode=show: prints every setting of a run, and where its value comes from."""

from efficientnet_tf import config as config_lib
from efficientnet_tf import counting
from efficientnet_tf.training import build

_COLUMNS = (
    *("name", "kind", "kernel_size", "strides", "input_filters", "output_filters"),
    *("expand_ratio", "se_filters", "drop_rate"),
)


def run(*, resolved: config_lib.Resolved) -> dict:
    """Prints the settings, the network's blocks and the steps.

    Args:
        resolved: the run's configuration; its data is opened, to count the images.

    Returns:
        "settings" ("value" and "origin" of each), "model" ("params", "macs" and
        "blocks", a dict each), "steps" (of the whole run, an epoch and the warm-up).
    """
    config = resolved.config
    result = {
        "settings": {
            name: {"value": getattr(config, name), "origin": origin}
            for name, origin in resolved.origins.items()
        },
        "model": _model(config),
        "steps": _steps(config),
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
    return result


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
