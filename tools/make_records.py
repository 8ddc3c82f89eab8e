"""Makes TFRecords of ImageNet's tar files, of image folders, CSV files or tfds.

python tools/make_records.py --data_dir=DOWNLOADS --output_dir=DIR
python tools/make_records.py --data_dir=PHOTOS --val_fraction=0.2 --output_dir=gs://...

DOWNLOADS holds ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and
ILSVRC2012_devkit_t12.tar.gz; nothing is unpacked. The same command continues a run that
was stopped. Later it finds the shards that are damaged and writes them again.
"""

import os

import tool
from absl import flags as absl_flags

from efficientnet_tf import files
from efficientnet_tf.data.writing import image_sources, plan, record_maker

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string(
    "dataset",
    None,
    "imagenet (its tar files), folder, csv or tfds:NAME; default: what data_dir holds.",
)
absl_flags.DEFINE_string("data_dir", None, "Folder of the images; of tfds its own.")
absl_flags.DEFINE_string(
    "output_dir", None, "Folder or gs:// URL to write to.", required=True
)
absl_flags.DEFINE_float(
    "val_fraction",
    0.0,
    "Share of one folder of classes, or of train.csv, that is for validation.",
)
absl_flags.DEFINE_integer(
    "train_shards", None, "Files; default: by size, 1,024 for ImageNet.", lower_bound=1
)
absl_flags.DEFINE_integer(
    "validation_shards",
    None,
    "Files; default: by size, 128 for ImageNet.",
    lower_bound=1,
)
absl_flags.DEFINE_integer("seed", 0, "Decides the order of the images.", lower_bound=0)
absl_flags.DEFINE_integer(
    "workers", os.cpu_count(), "Files that are written at a time.", lower_bound=1
)
absl_flags.DEFINE_enum(
    "on_bad_image",
    "error",
    ["error", "skip"],
    "What to do about an image that cannot be decoded: end with one line that names "
    "it, or leave it out and list it.",
)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(_: list[str]) -> dict:
    """Lists the images, writes the records, and says how to train on them."""
    if not 0 <= FLAGS.val_fraction < 1:
        raise ValueError(
            f"val_fraction={FLAGS.val_fraction}: allowed is 0 to 1, and less than 1"
        )
    files.check_writable(FLAGS.output_dir, label="output_dir=")
    collection = image_sources.read(
        FLAGS.dataset,
        FLAGS.data_dir,
        val_fraction=FLAGS.val_fraction,
        seed=FLAGS.seed,
    )
    counts = {"train": FLAGS.train_shards, "validation": FLAGS.validation_shards}
    planned = plan.make(collection, seed=FLAGS.seed, shard_counts=counts)
    made = record_maker.make(
        planned,
        FLAGS.output_dir,
        workers=FLAGS.workers,
        skips=FLAGS.on_bad_image == "skip",
    )
    command = _command(collection, made.output_dir)
    for line in (*made.lines(), f"train with    {command}"):
        print(line)
    return made.report() | {"command": command}


def _command(collection, output_dir: str) -> str:
    """Returns the command that trains on the records as on their source."""
    flags = [f"--data_dir={output_dir}"]
    if collection.class_names is None or files.is_url(output_dir):
        flags.append(f"--num_classes={collection.labels}")
    if files.is_url(output_dir) and collection.exif:
        flags.append("--exif")
    return f"python main.py {' '.join(flags)}"


if __name__ == "__main__":
    tool.run(main)
