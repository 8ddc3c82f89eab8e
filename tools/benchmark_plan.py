"""Compares a TPU training step's memory traffic: our model and keras.applications'.

python tools/benchmark_plan.py --models=efficientnet-b0:128 --chips=v5e --chips=v3
python tools/benchmark_plan.py --models=efficientnet-b7:32 --recompute=block

The TPU's compiler compiles both steps at the same effort, for one device, in bfloat16,
with the recipe's optimizer, averages and regularisation. No TPU is needed. --recompute
is the flag of main.py, for our step only.
"""

import tool
import keras
from absl import flags as absl_flags

from efficientnet_tf import config as config_lib
from efficientnet_tf.planning import cached_compiler, chips, lowering
from efficientnet_tf.runs import run_model
from efficientnet_tf.weights.keras_files import APPLICATIONS

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_multi_string(
    "models", ["efficientnet-b0:128"], "MODEL:BATCH of one device; may be repeated."
)
absl_flags.DEFINE_multi_enum(
    "chips", ["v5e", "v3"], list(chips.CHIPS), "May be repeated."
)
absl_flags.DEFINE_string("recompute", None, "Blocks that our step computes again.")
absl_flags.DEFINE_float(
    "effort", cached_compiler.EFFORT, "Effort of the TPU's compiler, from -1 to 1."
)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")

_MEASURES = ("bytes_accessed", "temp_bytes", "peak_bytes")


def main(_: list[str]) -> dict:
    """Compiles both steps of each model for each chip, and prints what ours saves."""
    rows = [row for model in FLAGS.models for row in _compare(model)]
    return {"effort": FLAGS.effort, "rows": rows}


def _compare(stated: str):
    name, _, batch = stated.partition(":")
    if name not in APPLICATIONS or not batch.isdigit():
        raise ValueError(
            f"models={stated}: allowed is MODEL:BATCH, of the models that "
            f"keras.applications has: {', '.join(APPLICATIONS)}"
        )
    settings = {"model": name, "dataset": "fake", "train_batch_size": int(batch)}
    ours = config_lib.create(**settings, fused="on", recompute=FLAGS.recompute)
    theirs = config_lib.create(**settings, fused="off")
    modules = {
        "ours": lowering.lower(lowering.prepare(ours, step="train")),
        "theirs": lowering.lower(
            lowering.prepare(theirs, step="train", make_model=lambda: _theirs(theirs))
        ),
    }
    for chip in FLAGS.chips:
        print(f"{name}, batch {batch}, on {chip}:", flush=True)
        reports = {who: _report(module, chip) for who, module in modules.items()}
        yield {"model": name, "batch": int(batch), "chip": chip} | _row(reports)


def _theirs(config: config_lib.Config) -> keras.Model:
    """Builds keras.applications' model, from pixels to float32 logits."""
    with run_model.dtype_policy("mixed_bfloat16"):
        build = getattr(keras.applications, APPLICATIONS[config.model])
        model = build(weights=None, classifier_activation=None)
    logits = keras.layers.Activation("linear", dtype="float32")(model.output)
    return keras.Model(model.input, logits)


def _report(module: bytes, name: str) -> dict:
    chip = chips.find(name)
    return cached_compiler.compile_for(
        chip, module, topology=chip.topology, replicas=1, effort=FLAGS.effort
    )


def _row(reports: dict[str, dict]) -> dict:
    row = {f"fits_{who}": "error" not in report for who, report in reports.items()}
    for who, report in reports.items():
        found = {name: report.get(name) for name in (*_MEASURES, "remat_ops")}
        row |= {f"{name}_{who}": value for name, value in found.items()}
        if "error" in report:
            print(f"{who:7} does not fit", flush=True)
            continue
        sizes = ", ".join(f"{name} {found[name] / 1e9:.3f} GB" for name in _MEASURES)
        again = f"{found['remat_ops']} operations recomputed by the compiler"
        print(f"{who:7} {sizes}, {again}", flush=True)
    if all(row[f"fits_{who}"] for who in reports):
        for name in _MEASURES:
            ratio = reports["theirs"][name] / reports["ours"][name]
            row[f"ratio_{name}_ours_vs_keras_applications"] = ratio
            print(f"        {name}: ours {1 - 1 / ratio:.1%} less", flush=True)
    return row


if __name__ == "__main__":
    tool.run(main, errors=(ValueError,))
