"""main.py at work in a bucket, as the slow tests start it."""

import json
import os
import pathlib
import re
import subprocess
import sys

import networks

from bucket import server

ROOT = pathlib.Path(__file__).parents[2]
DATA, RUN, EXPORT = "gs://bucket/digits", "gs://bucket/run", "gs://bucket/export"
BATCH = 64


def serve_digits(served, digits_dir):
    """Makes the bucket and puts the digits in it."""
    served.store.create("bucket")
    for path in pathlib.Path(digits_dir).iterdir():
        served.store.put("bucket", f"digits/{path.name}", path.read_bytes())


def clear(served):
    """Leaves the digits, and forgets what was asked for and went wrong."""
    for name in served.store.names("bucket"):
        if not name.startswith("digits/"):
            served.store.delete("bucket", name)
    served.faults, served.denied = server.Faults(), set()
    served.requests.clear()


def environment(served):
    # Without the cache of sizes, the number of requests is no matter of time.
    return {**os.environ, **served.environment(), "GCS_STAT_CACHE_MAX_AGE": "0"}


def start(served, *arguments):
    return subprocess.Popen(
        [sys.executable, "main.py", *arguments, "--json"],
        cwd=ROOT,
        env=environment(served),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    """What a process that ends well says last."""
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def training(*more):
    # Everything that could be forgotten is on, as in test_resume.py.
    return (
        "--dataset=imagenet",
        "--num_classes=10",
        "--image_size=32",
        f"--data_dir={DATA}",
        f"--model_dir={RUN}",
        f"--export_dir={EXPORT}",
        f"--blocks={networks.ONE}",
        f"--train_batch_size={BATCH}",
        "--eval_batch_size=120",
        "--augment=randaugment",
        "--mixup_alpha=0.2",
        "--train_epochs=4",
        "--steps_per_loop=3",
        "--checkpoint_epochs=0.25",
        "--eval_epochs=0.5",
        "--minival_shards=1",
        "--seed=7",
        *more,
    )


def fetch(served, folder, prefix=""):
    """Puts objects where TensorFlow reads them without a client."""
    for name in served.store.names("bucket", prefix):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(served.store.get("bucket", name).data)
    return folder


def last_step(served):
    """The step of the newest checkpoint; 0 if there is none."""
    names = served.store.names("bucket", "run/checkpoints/ckpt-")
    steps = (int(re.search(r"-(\d+)\.", n)[1]) for n in names if n.endswith("index"))
    return max(steps, default=0)
