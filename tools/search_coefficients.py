"""Searches alpha, beta and gamma for a network on your data (paper section 3.3).

python tools/search_coefficients.py --model=efficientnet-b0 --list
python tools/search_coefficients.py --dataset=folder --data_dir=DIR --train_epochs=20

Every candidate about doubles the base's FLOPS. The flags of main.py say how it is
trained; accuracy on held-out images decides. The same command continues the search.
"""

import tool
from absl import flags as absl_flags

from efficientnet_tf import files
from efficientnet_tf.experiments import coefficient_search

flags = tool.run_flags()
FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("root", "runs/coefficients", "Folder of the trainings.")
absl_flags.DEFINE_integer("workers", 1, "Trainings at a time.", lower_bound=1)
absl_flags.DEFINE_float("step", 0.1, "Step between the values of each coefficient.")
absl_flags.DEFINE_float("target", 2.0, "What alpha * beta^2 * gamma^2 should come to.")
absl_flags.DEFINE_float("tolerance", 0.1, "Largest allowed distance from --target.")
absl_flags.DEFINE_integer("resolution_step", 2, "Image sizes are multiples of it.")
absl_flags.DEFINE_boolean("list", False, "Only print what each candidate costs.")


def main(arguments: list[str]) -> dict:
    """Trains the candidates and prints them, best first."""
    rows = _rows(arguments)
    for row in rows:
        print(
            f"alpha {row['alpha']:.2f}  beta {row['beta']:.2f}  gamma "
            f"{row['gamma']:.2f}  FLOPS: formula x{row['formula']:.2f}, exact "
            f"x{row['exact']:.2f}  {row['resolution']} px"
            + (f"  held-out {row['held_out_top_1']:.2%}" if "top_1" in row else "")
        )
    return {"rows": rows}


def _rows(arguments: list[str]) -> list[dict]:
    if arguments:
        raise ValueError(f"unexpected argument {arguments[0]!r}")
    flags.check()
    config = flags.to_config()
    candidates = coefficient_search.grid(
        step=FLAGS.step, target=FLAGS.target, tolerance=FLAGS.tolerance
    )
    if FLAGS.list:
        return coefficient_search.costs(
            config, candidates, resolution_step=FLAGS.resolution_step
        )
    files.check_writable(FLAGS.root, label="--root=")
    return coefficient_search.search(
        config,
        candidates,
        root=FLAGS.root,
        workers=FLAGS.workers,
        device=flags.hardware().device,
        resolution_step=FLAGS.resolution_step,
    )


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    tool.run(main, errors=(ValueError, InterruptedError), in_words=flags.in_words)
