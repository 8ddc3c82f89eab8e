"""Plans a step for TPUs that need not be there: one, or a table of models and chips.

python tools/plan_tpu.py --chip=v5e --model=efficientnet-b0 --train_batch_size=128
python tools/plan_tpu.py --all --models=efficientnet-b0 --chips=v5e --chips=v3

The first does what `main.py --mode=plan` does, with its flags. The second finds the
largest batch of each and keeps what it found in --table, so the same command continues.
"""

import json
import os
import pathlib
import sys

from absl import app
from absl import flags as absl_flags

# main.py and its flags, which are no part of the package.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import flags
import main as main_module
from efficientnet_tf import files
from efficientnet_tf.planning import chips

FLAGS = absl_flags.FLAGS
_MODELS = [f"efficientnet-b{number}" for number in range(8)]

absl_flags.DEFINE_boolean("all", False, "Find the largest batches, as a table.")
absl_flags.DEFINE_multi_string("models", _MODELS, "Rows; may be repeated.")
absl_flags.DEFINE_multi_enum(
    "chips", ["v3", "v4", "v5e", "v6e"], list(chips.CHIPS), "Columns; may be repeated."
)
absl_flags.DEFINE_string("table", "docs/plans.json", "Where the table is kept.")
_KEPT = (
    *("batch", "batch_without_remat", "hbm_bytes", "temp_bytes", "bytes_accessed"),
    *("flops", "roofline_images_per_s", "bound", "image_size", "remat_ops", "effort"),
)


def main(argv: list[str]) -> None:
    """Plans one step, or fills the table."""
    if not FLAGS.all:
        FLAGS.mode = "plan"
        main_module.main(argv)
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _fill(FLAGS.table)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _fill(path: str) -> None:
    file = pathlib.Path(path)
    table = json.loads(file.read_text()) if file.exists() else {}
    for model in FLAGS.models:
        for chip in FLAGS.chips:
            if chip not in table.get(model, {}):
                table.setdefault(model, {})[chip] = _cell(model, chip)
                with files.replacing(path) as partial:
                    pathlib.Path(partial).write_text(json.dumps(table, indent=1) + "\n")
    for line in markdown(table, FLAGS.chips):
        print(line)


def _cell(model: str, chip: str) -> dict:
    FLAGS.mode, FLAGS.model, FLAGS.chip, FLAGS.find_batch = "plan", model, chip, True
    found = main_module.plan()
    return {name: found.get(name) for name in _KEPT}


def markdown(table: dict, columns: list[str]) -> list[str]:
    """The table's lines: batches with (and without) anything done twice, images/s."""
    lines = [
        f"| model | {' | '.join(columns)} |",
        f"|---{'|---:' * len(columns)}|",
    ]
    for model, row in table.items():
        cells = [_words(row.get(chip)) for chip in columns]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return lines


def _words(cell: dict | None) -> str:
    if cell is None:
        return ""
    if not cell["batch"]:
        return "none fits"
    return (
        f"{cell['batch']} ({cell['batch_without_remat']}), "
        f"{cell['roofline_images_per_s']:,.0f}/s"
    )


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    app.run(main, flags_parser=main_module.parse)
