"""Computes, measures and draws every table and figure of the paper, and a ledger.

python tools/reproduce_paper.py all --quick            # minutes, no data, no network
python tools/reproduce_paper.py table2 figure5
python tools/reproduce_paper.py table4                 # latency, on one core
python tools/reproduce_paper.py figure3 figure4 figure8 --data_dir=CIFAR10 --workers=2
python tools/reproduce_paper.py figure7 --data_dir=CIFAR10 --photos=a.jpg,b.jpg
python tools/reproduce_paper.py figure6 --pretrain_dir=CIFAR10 --data_dir=FLOWERS
python tools/reproduce_paper.py table8 --test_dir=DIR --weights=autoaugment --model=NAME

Items are table1 ... table8, section3, section4, figure1 ... figure8 and all. Section 4
is read from baseline_search.json in --output_dir, a file put together by hand from the
output of search_baseline.py --json. Data are folders of images by class.
Trainings are kept in --root; the same command continues them.
"""

import glob

import tool
from absl import flags as absl_flags

from efficientnet_tf import files

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_boolean(
    "quick", False, "Train nothing: what was trained before is drawn as it is."
)
absl_flags.DEFINE_string("output_dir", "docs/reproduction", "Where the files go.")
absl_flags.DEFINE_string("root", "runs/paper", "Folder of the trainings.")
absl_flags.DEFINE_string("data_dir", None, "Images by class to train the study on.")
absl_flags.DEFINE_string("pretrain_dir", None, "Figure 6: images to start with.")
absl_flags.DEFINE_list("photos", [], "Figure 7: images to map, comma-separated.")
absl_flags.DEFINE_integer("seeds", 3, "Trainings of each network.", lower_bound=1)
absl_flags.DEFINE_integer("workers", 1, "Trainings at a time.", lower_bound=1)
absl_flags.DEFINE_integer("rounds", 20, "Timed runs of table 4.", lower_bound=1)
absl_flags.DEFINE_boolean(
    "large", False, "Table 4: AmoebaNet-B and B7 (4 GB of memory, minutes) too."
)
absl_flags.DEFINE_string("test_dir", None, "Table 8: ImageNet's test images.")
absl_flags.DEFINE_string("weights", None, "Table 8: a file or the name of a release.")
absl_flags.DEFINE_string("model", "efficientnet-b0", "Table 8: the network.")
absl_flags.DEFINE_string(
    "class_ids", None, "Table 8: text file of the server's class numbers, in our order."
)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(names: list[str]) -> dict:
    """Measures what the named items need, then writes the items and the ledger."""
    from efficientnet_tf.paper import contents, ledger

    names = list(contents.ITEMS) if "all" in names else names
    unknown = [name for name in names if name not in contents.ITEMS]
    if unknown or not names:
        raise ValueError(
            f"{unknown[0] if unknown else 'no item'}: allowed are "
            f"{', '.join(contents.ITEMS)} and all"
        )
    directory = FLAGS.output_dir.rstrip("/")
    files.check_writable(directory, label="--output_dir=")
    files.check_file(f"{directory}.md", label=f"--output_dir={directory}: ")
    if FLAGS.data_dir and not FLAGS.quick:
        files.check_writable(FLAGS.root, label="--root=")
    _measure(set(names), directory)
    result = {}
    for name in names:
        found = contents.write(name, directory)
        result[name] = len(found)
        print(f"{name}: {len(found)} numbers, {contents.ITEMS[name].title}", flush=True)
    page = f"{directory}.md"
    ledger.write(page, directory)
    print(f"ledger: {page}")
    return {"items": result, "ledger": page}


def _measure(names: set[str], directory: str) -> None:
    """Runs the measurements and trainings that the items need."""
    from efficientnet_tf.paper import measurements

    if "table4" in names:
        measurements.measure_latency(directory, rounds=FLAGS.rounds, large=False)
        if FLAGS.large:
            measurements.measure_latency(directory, rounds=FLAGS.rounds, large=True)
    if FLAGS.quick:
        return
    if names & {"figure3", "figure4", "figure8"} and FLAGS.data_dir:
        measurements.train_scaling(
            directory,
            _study_settings(),
            root=f"{FLAGS.root}/scaling",
            seeds=FLAGS.seeds,
            workers=FLAGS.workers,
        )
    if names & {"figure6", "table5"} and FLAGS.pretrain_dir and FLAGS.data_dir:
        measurements.train_transfer(
            directory,
            pretrain_dir=FLAGS.pretrain_dir,
            data_dir=FLAGS.data_dir,
            root=f"{FLAGS.root}/transfer",
            workers=FLAGS.workers,
        )
    if "figure7" in names and FLAGS.photos:
        _draw_maps(directory)
    if "table8" in names and FLAGS.test_dir:
        _write_submission(directory)


def _study_settings() -> dict:
    from efficientnet_tf.experiments import scaling_study

    return scaling_study.PROXY | {"data_dir": FLAGS.data_dir}


def _draw_maps(directory: str) -> None:
    """Draws the maps of figure 8's networks that were trained with the first seed."""
    from efficientnet_tf.experiments import scaling_study
    from efficientnet_tf.paper import maps

    runs = scaling_study.runs(_study_settings(), root=f"{FLAGS.root}/scaling")
    maps.draw(f"{directory}/figure7.png", runs, FLAGS.photos)


def _write_submission(directory: str) -> None:
    from efficientnet_tf.paper import submission

    photos = sorted(glob.glob(f"{glob.escape(FLAGS.test_dir)}/*"))
    submission.write(
        f"{directory}/predictions.txt",
        photos,
        model=FLAGS.model,
        weights=FLAGS.weights,
        class_ids=FLAGS.class_ids,
    )


if __name__ == "__main__":
    tool.run(main)
