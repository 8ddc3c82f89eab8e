"""What this package writes to a bucket, through TensorFlow's own client."""

import dataclasses
import os
import time
from unittest import mock

import folder_support
import pytest
import tensorflow as tf

from bucket import client
from efficientnet_tf import files
from efficientnet_tf.data import tfrecord
from efficientnet_tf.data.writing import image_sources, plan, record_maker
from efficientnet_tf.hardware import packages
from efficientnet_tf.runs import run_lock
from efficientnet_tf.runs.holder import Holder

pytestmark = pytest.mark.usefixtures("empty")


def test_our_writes_are_one_upload_of_the_whole(bucket):
    served, ask = bucket
    ask(files.write_whole, "gs://bucket/run/config.json", "{}\n")
    ask(files.write_whole, "gs://bucket/run/empty", b"")
    assert served.count() == {"begin": 2, "put": 2}
    assert served.store.get("bucket", "run/config.json").data == b"{}\n"
    assert served.store.get("bucket", "run/empty").data == b""


def test_a_failed_write_leaves_the_object_as_it_was(bucket):
    served, ask = bucket
    served.store.put("bucket", "file", b"whole")
    with pytest.raises(RuntimeError, match="halfway"):
        ask(_fail_halfway, "gs://bucket/file")
    assert served.store.get("bucket", "file").data == b"whole"
    assert served.requests == []


def _fail_halfway(url):
    with files.replacing(url) as path, open(path, "w") as file:
        file.write("ha")
        raise RuntimeError("halfway")


def test_only_a_folder_that_can_be_written_is_one(bucket):
    served, ask = bucket
    served.denied = {"private"}
    ask(files.check_writable, "gs://bucket/run")
    assert served.store.names("bucket") == []
    assert served.count() == {"begin": 1, "put": 1, "delete": 1}
    for url, reason in (
        ("gs://private/run", "access is denied"),
        ("gs://nowhere/run", "is not there; check the bucket's name"),
    ):
        with pytest.raises(ValueError) as error:
            ask(_check_writable, url)
        told = str(error.value)
        assert told.startswith(f"model_dir={url}: cannot be written: {url}/.trial-")
        assert reason in told and "\n" not in told


def _check_writable(url):
    files.check_writable(url, label="model_dir=")


def test_a_run_appends_here_and_sends_what_has_changed(bucket):
    served, ask = bucket
    served.store.put("bucket", "run/metrics.jsonl", b"one\n")
    steps = ask(_append_and_send, "gs://bucket/run")
    assert steps == [b"one\n", b"one\ntwo\n", b"one\ntwo\nthree\n"]
    assert served.store.get("bucket", "run/train/events").data == b"event"
    counted = [(request.kind, request.name) for request in served.requests]
    for name, times in (("run/metrics.jsonl", 2), ("run/train/events", 1)):
        assert counted.count(("begin", name)) == counted.count(("put", name)) == times


def _append_and_send(url):
    """What the bucket holds after fetching, after a send, and at the end."""
    from efficientnet_tf.training import uploads

    found = []
    with uploads.Uploads(url) as out:
        out.fetch("metrics.jsonl")
        out.fetch("none")
        out.send()
        found.append(client.read(f"{url}/metrics.jsonl"))
        os.makedirs(f"{out.folder}/train")
        for name, line in (("metrics.jsonl", "two\n"), ("train/events", "event")):
            with open(f"{out.folder}/{name}", "a") as file:
                file.write(line)
        out.send()
        out.send()
        found.append(client.read(f"{url}/metrics.jsonl"))
        with open(f"{out.folder}/metrics.jsonl", "a") as file:
            file.write("three\n")
    found.append(client.read(f"{url}/metrics.jsonl"))
    return found


def test_one_process_holds_a_folder(bucket):
    served, ask = bucket
    names, line = ask(_hold_twice, URL)
    assert names == [run_lock.NAME]
    assert line.startswith(f"model_dir={URL}: process ") and "begun at" in line
    assert served.store.names("bucket") == []
    # To look, to write, to look whether another has written, and to remove.
    assert served.count()["put"] == served.count()["delete"] == 1


URL = "gs://bucket/run"


def _hold_twice(url):
    """What a folder holds while it is held, and how a second holder is refused."""
    import tensorflow as tf

    with run_lock.held(url) as check:
        check()
        names = tf.io.gfile.listdir(url)
        try:
            with run_lock.held(url):
                return names, None
        except ValueError as error:
            return names, str(error)


def test_a_holder_on_another_machine_holds_while_it_renews(bucket):
    served, ask = bucket
    other = dataclasses.replace(Holder.new(), kernel="another", host="far")
    served.store.put("bucket", "run/.lock", other.dumps().encode())
    assert ask(run_lock.holder, URL) == other
    with pytest.raises(ValueError, match=r" on far, .* 120 seconds .* gs://bucket/run"):
        ask(_hold, URL, run_lock.SILENT)
    assert ask(_hold, URL, 0.0) is None  # so long ago
    assert served.store.names("bucket") == []


def test_a_holder_that_was_killed_on_this_machine_holds_nothing(bucket):
    served, ask = bucket
    gone = dataclasses.replace(Holder.new(), began=0.0)
    served.store.put("bucket", "run/.lock", gone.dumps().encode())
    assert ask(run_lock.holder, URL) is None
    assert ask(_hold, URL, run_lock.SILENT) is None


def _hold(url, silent):
    with mock.patch.object(run_lock, "SILENT", silent), run_lock.held(url) as check:
        check()


def test_a_run_whose_folder_was_taken_over_notices_and_leaves_it(bucket):
    served, ask = bucket
    other = dataclasses.replace(Holder.new(), kernel="another", host="far")
    line = ask(_lose, URL, other.dumps())
    assert line.startswith(f"model_dir={URL}: process ") and " on far, " in line
    assert served.store.get("bucket", "run/.lock").data == other.dumps().encode()


def _lose(url, other):
    """What a run is told whose lock another run replaces."""
    with mock.patch.object(run_lock, "RENEWED", 0.01), run_lock.held(url) as check:
        files.write_whole(f"{url}/{run_lock.NAME}", other)
        with pytest.raises(ValueError) as error:
            for _ in range(3000):
                time.sleep(0.01)
                check()
    return str(error.value)


def test_a_save_that_was_killed_leaves_nothing(bucket):
    served, ask = bucket
    ask(_save_checkpoint, "gs://bucket/run/checkpoints", 3)
    kept = served.store.names("bucket")
    for name in (
        "checkpoints/ckpt-6.data-00000-of-00001",
        "checkpoints/ckpt-9_temp/part-00000-of-00001.index",
        "best/ckpt-3.data-00000-of-00001",
    ):
        served.store.put("bucket", f"run/{name}", b"half")
    ask(_begin, URL)
    assert served.store.names("bucket") == kept


def _begin(url):
    from efficientnet_tf.training import held_folder

    with held_folder.alone(url, mock.Mock(is_chief=True)):
        pass


def test_checkpoints_are_uploaded_once_and_the_oldest_goes(bucket):
    served, ask = bucket
    kinds = {}
    for step in (3, 6, 9, 12, 15):
        served.requests.clear()
        # Each by another process, which has to know of the others' checkpoints; those
        # of even steps by TensorFlow's own manager.
        found = ask(_save_checkpoint, "gs://bucket/run/best", step)
        assert found == (f"gs://bucket/run/best/ckpt-{step}", step)
        kinds[step] = served.kinds()
    suffixes = (".data-00000-of-00001", ".index")
    kept = [f"run/best/ckpt-{n}{suffix}" for n in (12, 15, 9) for suffix in suffixes]
    assert served.store.names("bucket") == ["run/best/checkpoint", *kept]
    # The list of checkpoints is read, but for the TPU build, whose client keeps it;
    # values, index and list are uploaded; the oldest's files are found and deleted.
    first = kinds[15].index("begin")
    assert packages.is_tpu_build() or kinds[15][:first] == ["stat", "stat", "read"]
    uploads = ["begin", "put"] * 3
    assert kinds[15][first : first + 9] == [*uploads, "list", "delete", "delete"]


def _save_checkpoint(url, number):
    """Saves; returns what TensorFlow finds afterwards: a path and the step in it."""
    from efficientnet_tf.training import bucket_checkpoints

    job = "localhost" if number % 2 else "worker"
    step = tf.Variable(number)
    manager = bucket_checkpoints.manager(
        tf.train.Checkpoint(step=step), url, 3, device=f"/job:{job}/device:CPU:0"
    )
    assert isinstance(manager, bucket_checkpoints.Manager) == (job == "localhost")
    manager.save(number)
    reader = tf.train.load_checkpoint(url)
    value = reader.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE")
    return tf.train.latest_checkpoint(url), int(value)


def test_records_are_made_in_a_bucket_as_on_a_disk(bucket, tmp_path):
    served, ask = bucket
    folder_support.fill(tmp_path / "photos" / "train", (3, 2, 2))
    folder_support.fill(tmp_path / "photos" / "val", (1, 1, 1), first=100)
    photos, local = str(tmp_path / "photos"), tmp_path / "records"
    _make_records(photos, str(local))
    url = "gs://bucket/records"
    assert len(ask(_make_records, photos, url)) == 3
    names = served.store.names("bucket")
    assert names == sorted(f"records/{name}" for name in os.listdir(local))
    for name in os.listdir(local):
        there = served.store.get("bucket", f"records/{name}").data
        assert there == (local / name).read_bytes()
    served.store.put("bucket", "records/train-00001-of-00002", b"cut")
    assert ask(_make_records, photos, url) == ("train-00001-of-00002",)
    assert ask(_counted, url) == (7, 3, ["ant", "bee", "cat"])
    served.store.put("bucket", "records/mine", b"")
    with pytest.raises(ValueError, match="holds mine"):
        ask(_make_records, photos, url)


def _make_records(source, output_dir):
    collection = image_sources.read("folder", source)
    counts = {"train": 2, "validation": 1}
    planned = plan.make(collection, seed=0, shard_counts=counts)
    return record_maker.make(planned, output_dir, workers=1).written


def _counted(url):
    splits = tfrecord.open_splits(url)
    names = files.read_text(f"{url}/labels.txt").split()
    return splits.train.images, splits.validation.images, names
