"""Searches a baseline network as the paper's section 4 does, or compares samplers.

python tools/search_baseline.py --data_dir=DIR --trials=100 --workers=4
python tools/search_baseline.py --data_dir=DIR --trials=30 --compare --workers=2

DIR has images in DIR/train/CLASS and DIR/val/CLASS. The flags of main.py say how each
network is trained; without them it is the scaling study's proxy, for two epochs at 16
pixels. The search varies --blocks, the blocks of --model or else those of the proxy:

python tools/search_baseline.py --dataset=imagenet --data_dir=DIR --target_macs=400e6 \
    --model=efficientnet-b0 --image_size=224 --train_batch_size=1024 --train_epochs=5

The same command continues a search. If several machines share a --storage URL and
--root, the same command on each makes them work on one search. The tool writes
trials.csv, pareto.png and, for a comparison, samplers.png to --root.
"""

import concurrent.futures
import sys

import tool
from absl import flags as absl_flags

from efficientnet_tf import files, variants
from efficientnet_tf.experiments import baseline_search, scaling_study, search_report
from efficientnet_tf.experiments.search_space import Space

flags = tool.run_flags()
FLAGS = absl_flags.FLAGS

# 94 steps an epoch. 2,000 images are held out, so their accuracy varies by +-1 percent
# by chance.
_PROXY = scaling_study.PROXY | {
    "minival_shards": 0.25,
    "train_batch_size": 64,
    "train_epochs": 2.0,
    "warmup_epochs": 0.25,
    "lr_decay_epochs": 0.06,
    "moving_average_decay": 0.95,
    "eval_epochs": 2.0,
    "checkpoint_epochs": 2.0,
}

absl_flags.DEFINE_integer("trials", 30, "Networks, in all.", lower_bound=1)
absl_flags.DEFINE_integer("workers", 1, "Trainings at a time.", lower_bound=1)
absl_flags.DEFINE_enum(
    "sampler", "tpe", baseline_search.SAMPLERS, "How networks are chosen."
)
absl_flags.DEFINE_string("root", "runs/search", "Folder of the search.")
absl_flags.DEFINE_float(
    "target_macs",
    None,
    "Target MACs (T in the paper's reward); None: the MACs of the space's own network.",
)
absl_flags.DEFINE_string("storage", None, "URL of a database; None: a file in root.")
absl_flags.DEFINE_boolean("compare", False, "Compare the sampler with random search.")
absl_flags.DEFINE_integer(
    "seeds",
    3,
    "With --compare: searches for each sampler, one a seed.",
    lower_bound=1,
)


def main(arguments: list[str]) -> dict:
    """Searches or compares samplers, draws the results, and returns them."""
    if arguments:
        raise ValueError(f"unexpected argument {arguments[0]!r}")
    files.check_writable(FLAGS.root, label="--root=")
    try:
        return _compare() if FLAGS.compare else _search()
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        sys.exit("error: optuna is missing: pip install -e '.[search]'")
    except concurrent.futures.BrokenExecutor:
        sys.exit("error: a worker was killed; the same command continues")


def _search() -> dict:
    search = _described()
    rows = baseline_search.run(search, workers=FLAGS.workers)
    search_report.plot_front(f"{FLAGS.root}/pareto.png", rows)
    return _described_result(search, rows)


def _compare() -> dict:
    if FLAGS.sampler == "random":
        raise ValueError("--sampler=random: allowed with --compare is another")
    search = _described()
    results = baseline_search.compare(
        search,
        samplers=("random", FLAGS.sampler),
        seeds=FLAGS.seeds,
        workers=FLAGS.workers,
    )
    search_report.write_csv(f"{FLAGS.root}/trials.csv", results)
    search_report.plot_samplers(f"{FLAGS.root}/samplers.png", results)
    rows = [row for runs in results.values() for rows in runs for row in rows]
    search_report.plot_front(f"{FLAGS.root}/pareto.png", rows)
    summary = search_report.summary(results)
    for sampler, scores in summary.items():
        print(
            f"{sampler}: best reward after {FLAGS.trials} trials "
            f"{scores['mean']:.4f} +- {scores['stddev']:.4f} over {FLAGS.seeds} seeds"
        )
    return _described_result(search, rows) | {"samplers": summary}


def _described() -> baseline_search.Search:
    """Makes the search that the flags describe."""
    settings = _settings()
    blocks = settings.get("blocks")
    skeleton = variants.get_variant(settings["model"]).blocks
    return baseline_search.Search(
        Space(tuple(blocks.split(",")) if blocks else skeleton),
        settings,
        root=FLAGS.root,
        trials=FLAGS.trials,
        sampler=FLAGS.sampler,
        seed=FLAGS.seed or 0,
        target_macs=FLAGS.target_macs,
        storage=FLAGS.storage,
    )


def _settings() -> dict:
    """Returns fields of Config: the proxy's, replaced by those given as flags."""
    flags.check()
    chosen = {name: v for name, v in flags.chosen().items() if v is not None}
    proxy = dict(_PROXY)
    if "model" in chosen:
        del proxy["blocks"]
    return proxy | chosen


def _described_result(
    search: baseline_search.Search, rows: list[baseline_search.Row]
) -> dict:
    best, front = baseline_search.best(rows), search_report.pareto_front(rows)
    networks = len({row["blocks"] for row in rows})
    print(
        f"{len(rows)} trials of {networks} networks, {len(front)} on the Pareto front"
    )
    print(
        f"best reward {best['reward']:.4f}: held-out top-1 "
        f"{best['held_out_top_1']:.2%}, validation {best['top_1']:.2%}, "
        f"{best['macs']:,} MACs (target {search.target:,.0f}), {best['params']:,} "
        f"parameters\n--blocks={best['blocks']}"
    )
    return baseline_search.identity(search) | {
        "trials": len(rows),
        "networks": networks,
        "best": best,
        "pareto_front": front,
    }


if __name__ == "__main__":
    absl_flags.adopt_module_key_flags(flags)
    tool.run(main, in_words=flags.in_words)
