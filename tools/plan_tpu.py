"""Plans steps for TPUs without a TPU: one step, or a table of models and chips.

python tools/plan_tpu.py --chip=v5e --model=efficientnet-b0 --train_batch_size=128
python tools/plan_tpu.py --all --models=efficientnet-b0 --chips=v5e --chips=v3

The first command is the same as `main.py --mode=plan`, with the same flags. The second
finds the largest batch of each model on each chip. It stores each result in --table, so
the same command continues.
"""

import json
import os
import pathlib

import tool
from absl import flags as absl_flags

from efficientnet_tf import files, variants
from efficientnet_tf.commands import plan
from efficientnet_tf.planning import chips, planned_run

flags = tool.run_flags()
FLAGS = absl_flags.FLAGS
_MODELS = [f"efficientnet-b{number}" for number in range(8)]

absl_flags.DEFINE_boolean("all", False, "Find the largest batches, as a table.")
absl_flags.DEFINE_multi_string("models", _MODELS, "Rows; may be repeated.")
absl_flags.DEFINE_multi_enum(
    "chips", ["v3", "v4", "v5e", "v6e"], list(chips.CHIPS), "Columns; may be repeated."
)
absl_flags.DEFINE_string("table", "docs/plans.json", "Where the table is kept.")
_KEPT = (
    *("batch", "hbm_bytes", "temp_bytes", "bytes_accessed", "flops", "image_size"),
    *("roofline_images_per_s", "bound", "remat_ops", "remat_flops", "effort"),
)


def main(arguments: list[str]) -> dict:
    """Plans one step, or fills the table."""
    given = [f for f in FLAGS.get_key_flags_for_module(flags) if f.present]
    settings = {f.name: f.value for f in given if f.name != "json"}
    FLAGS.mode = "plan"
    return _fill(FLAGS.table, settings) if FLAGS.all else _plan(arguments)


def _plan(arguments: list[str], **search: int) -> dict:
    _, stated = flags.mode(arguments)
    return plan.run(**stated, **search)


def _fill(path: str, settings: dict) -> dict:
    unknown = [name for name in FLAGS.models if name not in variants.list_variants()]
    if unknown:
        raise ValueError(f"models={unknown[0]}: no such model")
    files.make_folder(os.path.dirname(path) or ".", label="table: ")
    for model in FLAGS.models:
        for chip in FLAGS.chips:
            table = _read(path, settings)
            if chip not in table.get(model, {}):
                cell = _cell(model, chip, start=_start(table, model, chip))
                _keep(cell, path, settings, model, chip)
    table = _read(path, settings)
    for line in markdown(table, FLAGS.chips):
        print(line)
    return table


def _read(path: str, settings: dict) -> dict:
    """Reads the cells found so far with the same flags, by model and chip."""
    if not os.path.exists(path):
        return {}
    try:
        kept = json.loads(pathlib.Path(path).read_text())
        made_with, models = kept["flags"], kept["models"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"table={path}: cannot be read as a table ({error}); move the file away to "
            "start a new one"
        ) from None
    if made_with != settings:
        raise ValueError(
            f"table={path}: was made with {made_with}, not {settings}; name another"
        )
    return models


def _keep(cell: dict, path: str, settings: dict, model: str, chip: str) -> None:
    """Adds a cell to the table; keeps cells that other processes added meanwhile."""
    table = _read(path, settings)
    table.setdefault(model, {})[chip] = cell
    models = {name: table[name] for name in sorted(table)}
    content = json.dumps({"flags": settings, "models": models}, indent=1)
    files.write_whole(path, content + "\n")


def _start(table: dict, model: str, chip: str) -> int:
    """Guesses the first batch to try: a quarter of the largest of the model before."""
    for before in reversed([name for name in table if name < model]):
        if chip in table[before]:
            most = table[before][chip]["with_remat"]
            return max(1, most["batch"] // 4) if most else 1
    return planned_run.BATCH


def _cell(model: str, chip: str, *, start: int) -> dict:
    FLAGS.model, FLAGS.chip, FLAGS.find_batch = model, chip, True
    found = _plan([], start=start, steps=1)
    return {
        name: one and {field: one[field] for field in _KEPT}
        for name, one in found.items()
    }


def markdown(table: dict, columns: list[str]) -> list[str]:
    """Formats the table: batch, batch with recomputation, and images/s."""
    lines = [f"| model | {' | '.join(columns)} |", f"|---{'|---:' * len(columns)}|"]
    for model, row in table.items():
        cells = [_words(row.get(chip)) for chip in columns]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return lines


def _words(cell: dict | None) -> str:
    if cell is None:
        return ""
    plain, whole = cell["without_remat"], cell["with_remat"]
    if whole is None:
        return "none fits"
    best = max(plain or whole, whole, key=lambda one: one["roofline_images_per_s"])
    return (
        f"{plain['batch'] if plain else 0} ({whole['batch']}), "
        f"{best['roofline_images_per_s']:,.0f}/s"
    )


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    tool.run(main, errors=(ValueError,), in_words=flags.in_words)
