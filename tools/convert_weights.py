"""Converts weights from any readable format to any writable format.

python tools/convert_weights.py SRC --to=timm [--model=efficientnet-b0] [--out=FILE]

SRC is a weights file, a TF1 checkpoint, the name of a release (with --model) or the
folder of a run. docs/weights.md lists the formats.
"""

import os

import tool
from absl import flags as absl_flags

from efficientnet_tf import files, suffixes

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_enum(
    "to", None, list(suffixes.WRITTEN), "Format to write.", required=True
)
absl_flags.DEFINE_string("model", None, "Variant; None: what SRC says it holds.")
absl_flags.DEFINE_string("out", None, "File to write; None: SRC's name, here.")
absl_flags.DEFINE_boolean("ema", True, "Take averages, if SRC has both.")
absl_flags.DEFINE_boolean("overwrite", False, "Replace a file that is there.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(arguments: list[str]) -> dict:
    """Reads the weights, writes them in the other format, and prints a summary."""
    if len(arguments) != 1:
        raise ValueError(f"takes one SRC, not {len(arguments)}")
    source = arguments[0].rstrip("/")
    # Late, because Keras takes seconds to import.
    from efficientnet_tf.weights import weights_file, writing

    out = FLAGS.out or _default_out(source)
    writing.check_target(out, FLAGS.to)
    if os.path.exists(out) and not FLAGS.overwrite:
        raise ValueError(f"{out} exists; --overwrite replaces it, --out names another")
    files.check_writable(os.path.dirname(out) or ".", label=f"--out={out}: ")
    model = _open(source)
    writing.save_weights(model, out, format=FLAGS.to)
    report = getattr(model, "load_report", None)
    weights_file.print_notes(report)
    result = {
        "out": out,
        "model": model.passport.variant.name,
        "tensors": len(model.weights),
        "unused": len(report.unused) if report else 0,
        "skipped": list(report.skipped) if report else [],
    }
    print(
        f"{out}: {result['tensors']} tensors of {result['model']}, "
        f"{result['unused']} of the source's unused"
    )
    return result


def _default_out(source: str) -> str:
    stem = os.path.basename(source)
    for suffix in (*suffixes.KERAS, *suffixes.TORCH, ".ckpt", ".weights"):
        if suffixes.has(stem, suffix):
            stem = stem[: -len(suffix)]
    return stem + suffixes.WRITTEN[FLAGS.to]


def _open(source: str):
    if os.path.exists(os.path.join(source, "config.json")):
        if FLAGS.model:
            raise ValueError(f"--model={FLAGS.model}: {source} is a run; leave it out")
        from efficientnet_tf.inference.classifier import Classifier

        return Classifier.of_run(source).model
    from efficientnet_tf.models import pretrained

    return pretrained.from_weights(source, FLAGS.model, ema=FLAGS.ema)


if __name__ == "__main__":
    tool.run(main)
