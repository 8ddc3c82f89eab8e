"""A whole run in a bucket, of main.py and TensorFlow's own client."""

import collections
import random
import re
import signal
import time

import pytest
import tensorflow as tf
import whole_run

from bucket import commands, server
from efficientnet_tf.data import digits, tfrecord

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh")]

TRAIN_IMAGES = 1347


@pytest.fixture(scope="module")
def unbroken(served, tmp_path_factory):
    """The files, requests and output of a run that nothing disturbs."""
    commands.clear(served)
    told = commands.result(commands.start(served, *commands.training()))
    folder = commands.fetch(served, tmp_path_factory.mktemp("unbroken"))
    return folder, list(served.requests), told


def event_steps(folder):
    """The steps that a folder's event files tell the loss of."""
    events = (
        tf.compat.v1.Event.FromString(record.numpy())
        for path in sorted(folder.glob("events.out.tfevents.*"))
        for record in tf.data.TFRecordDataset(str(path))
    )
    return {
        event.step
        for event in events
        if any(value.tag == "loss" for value in event.summary.value)
    }


def test_a_run_leaves_everything_in_the_bucket(unbroken):
    folder, _, told = unbroken
    run = folder / "run"
    assert told["finished"] and told["examples"] == digits.VALIDATION_IMAGES
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "passport.json", "data.json", "labels.txt"),
        *("metrics.jsonl", "checkpoints", "best"),
        *("train", "minival", "validation"),
        *("report.html", "predictions.csv", "classes.csv"),
    }
    assert len(list(run.glob("checkpoints/*.index"))) == 3
    assert len(list(run.glob("best/*.index"))) == 1
    assert tf.saved_model.contains_saved_model(str(folder / "export"))


def test_metrics_and_events_tell_of_every_loop_and_evaluation(unbroken):
    folder, _, told = unbroken
    run = folder / "run"
    trained, evaluated = (whole_run.metrics(run, kind) for kind in ("train", "eval"))
    assert trained[-1]["step"] == 84
    assert event_steps(run / "train") == {line["step"] for line in trained}
    *held_out, last = evaluated
    assert event_steps(run / "minival") == {line["step"] for line in held_out}
    step = int(told["checkpoint"].rsplit("-", 1)[1])
    assert event_steps(run / "validation") == {step} == {last["step"]}
    assert last["split"] == "validation"
    assert last["epoch"] == pytest.approx(
        step * commands.BATCH / TRAIN_IMAGES, abs=1e-4
    )
    for name in ("top_1", "top_5", "loss", "examples", "weights"):
        assert last[name] == told[name]


PURPOSES = {
    "trial": r".*/\.trial-.*",
    "data": "digits(/.*)?",
    "lines": r"run/(metrics\.jsonl|\w+/events\.out\.tfevents.*)/?",
    "checkpoints": "run/checkpoints(/.*)?",
    "best": "run/best(/.*)?",
    "settings": r"run/((config|passport|data)\.json|labels\.txt)/?",
    "lock": r"run(/|/\.lock/?)?",
    "report": r"run/(report\.html|(predictions|classes)\.csv)/?",
    "export": "export/?.*",
}


def by_purpose(requests):
    """How many requests there are of each purpose and kind; each has a purpose."""
    counted = collections.defaultdict(collections.Counter)
    for request in requests:
        purposes = [
            p for p, name in PURPOSES.items() if re.fullmatch(name, request.name)
        ]
        assert purposes, request
        counted[purposes[0]][request.kind] += 1
    return counted


def minutes(requests):
    return (requests[-1].seconds - requests[0].seconds) // 60


def uploads(requests, name):
    """How often an object of a name was uploaded."""
    return sum(r.kind == "put" and bool(re.fullmatch(name, r.name)) for r in requests)


def test_requests_are_few(unbroken):
    folder, requests, _ = unbroken
    counted = by_purpose(requests)
    print({purpose: dict(kinds) for purpose, kinds in counted.items()})
    saves = uploads(requests, r"run/checkpoints/.*\.index")
    bests = uploads(requests, r"run/best/.*\.index")
    loops, evals = (
        len(whole_run.metrics(folder / "run", k)) for k in ("train", "eval")
    )
    assert (loops, saves, evals) == (33, 14, 9) and 1 <= bests <= 8
    # Two requests an upload. metrics.jsonl and the event file of training go before a
    # save, after an evaluation and once a minute, and the evaluations' event file after
    # an evaluation. Whether metrics.jsonl is there is asked some times, and thrice it
    # is read, for known scores and for the report too.
    lines = counted["lines"]
    assert lines["begin"] == lines["put"]
    assert lines["put"] <= 2 * (saves + evals + minutes(requests)) + evals
    assert lines.total() - 2 * lines["put"] <= 16
    # Values, index and list of checkpoints; from the fourth on, the oldest is looked
    # for and its two files are deleted. At the start and at the end folders are looked
    # into.
    for name, number, most in (("checkpoints", saves, 3), ("best", bests, 1)):
        kept = counted[name]
        assert kept["begin"] == kept["put"] == 3 * number
        assert kept["delete"] == 2 * (number - most)
        assert kept["stat"] + kept["list"] <= (number - most) + 50
    assert counted["checkpoints"]["read"] <= 6  # the list of checkpoints
    # The evaluation and the export find the best weights and read them.
    assert counted["best"]["read"] <= 2 * 9 + 6
    assert counted["settings"].total() <= 4 * 2 + 60  # written once; looked for, read
    # Written and looked for at the start, at the end and each 30 seconds.
    assert counted["lock"]["delete"] == 1
    assert counted["lock"]["put"] <= 1 + 2 * (minutes(requests) + 1)
    assert counted["lock"].total() <= 6 * counted["lock"]["put"] + 10
    assert counted["report"] == dict.fromkeys(("begin", "put"), 3)
    # Whether a folder can be written: the run's twice, and the export's twice.
    assert counted["trial"] == dict.fromkeys(("begin", "put", "delete"), 4)
    assert counted["export"]["put"] == 5 and counted["export"].total() <= 2 * 5 + 8


def test_data_is_read_once_to_count_it_and_once_an_epoch(unbroken):
    _, requests, _ = unbroken
    # 16 shards and 2 for validation, one block each: to count, to try the first, four
    # epochs of 15 and the beginning of a fifth, eight evaluations of one, one of two,
    # and three times two for the report: to find images, for mistakes, for others.
    expected = 18 + 2 + 4 * 15 + 8 * 1 + 2 + 3 * 2
    data = by_purpose(requests)["data"]
    assert expected <= data["read"] <= expected + 25
    # And what else is there: a manifest, the names of the classes.
    assert data["stat"] <= 18 + 2 + 6 and data["list"] <= 2 + 6


def test_twice_the_steps_and_loops_are_no_other_requests(served, tmp_path):
    others, reads = [], []
    for epochs, steps, loops in ((2, 44, 16), (4, 89, 30)):
        commands.clear(served)
        rhythm = f"--checkpoint_epochs={epochs / 2}", f"--eval_epochs={epochs}"
        more = f"--train_epochs={epochs}", "--minival_shards=0", *rhythm
        told = commands.result(commands.start(served, *commands.training(*more)))
        folder = commands.fetch(served, tmp_path / str(epochs), "run/")
        assert told["step"] == steps
        assert len(whole_run.metrics(folder / "run", "train")) == loops
        counted = by_purpose(served.requests)
        reads.append(counted.pop("data")["read"])
        # Two files before the first save, three after the evaluation, nothing new for
        # the second save, two after the last evaluation; and twice looked for.
        most = 2 * (2 + 3 + 2) + 8 + 4 * minutes(served.requests)
        assert counted.pop("lines").total() <= most
        assert counted.pop("lock")["delete"] == 1
        others.append(counted)
    assert others[0] == others[1]
    # A shard a request and an epoch.
    assert reads[1] - reads[0] == 2 * 16


def kill(served, moments):
    """Continues a run past two saves and kills it: in a step, a save, an evaluation."""
    begun = commands.last_step(served)
    process = commands.start(served, *commands.training())
    while commands.last_step(served) < begun + 12:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(moments.uniform(0, 2))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def assert_same_run(run, expected):
    """Both runs are equal to the bit; each loop is in metrics and events once."""
    whole_run.assert_same_end(run, expected)
    assert whole_run.metrics(run, "eval") == whole_run.metrics(expected, "eval")
    (told, steps), (expected_told, expected_steps) = (
        (
            [(line["step"], line["loss"]) for line in lines],
            event_steps(folder / "train"),
        )
        for folder in (run, expected)
        for lines in [whole_run.metrics(folder, "train")]
    )
    assert told == expected_told and steps == expected_steps


def test_two_sigkills_change_no_bit_while_requests_fail(served, unbroken, tmp_path):
    # Of the first 200 requests three are refused and three are cut.
    served.faults = server.Faults(2, refused=0.01, cut=0.01)
    moments = random.Random(0)
    for _ in range(2):
        kill(served, moments)
    assert 12 <= commands.last_step(served) < 84
    assert commands.result(commands.start(served, *commands.training()))["finished"]
    assert_same_run(commands.fetch(served, tmp_path) / "run", unbroken[0] / "run")
    faults = collections.Counter(r.status for r in served.requests if r.fault)
    print(f"{len(served.requests)} requests, of which failed: {dict(faults)}")
    assert faults[0] >= 3 and faults[429] + faults[503] >= 3


def test_a_run_ends_as_ever_where_one_request_in_five_fails(served, unbroken, tmp_path):
    served.faults = server.Faults(0, refused=0.1, cut=0.1)
    assert commands.result(commands.start(served, *commands.training()))["finished"]
    folder = commands.fetch(served, tmp_path)
    assert_same_run(folder / "run", unbroken[0] / "run")
    exported, expected = (
        {path.name for path in (f / "export").rglob("*")} for f in (folder, unbroken[0])
    )
    assert exported == expected


@pytest.fixture
def finished(served, fresh, unbroken):
    """The bucket with the run that nothing disturbed in it, and an image."""
    folder, _, told = unbroken
    for path in (folder / "run").rglob("*"):
        if path.is_file():
            name = str(path.relative_to(folder))
            served.store.put("bucket", name, path.read_bytes())
    shard = str(folder / "digits/validation-00000-of-00002")
    encoded, _ = tfrecord.parse(next(iter(tf.data.TFRecordDataset(shard))))
    served.store.put("bucket", "image.jpg", encoded.numpy())
    return told, encoded


def test_an_export_that_was_killed_is_replaced(served, finished):
    served.store.put("bucket", "export/fingerprint.pb", b"old")
    told = of_run(served, "export", f"--export_dir={commands.EXPORT}")
    assert told["export_dir"] == commands.EXPORT
    assert "export/saved_model.pb" in served.store.names("bucket")


def of_run(served, mode, *more):
    return commands.result(
        commands.start(served, f"--mode={mode}", f"--model_dir={commands.RUN}", *more)
    )


def test_a_run_in_a_bucket_is_evaluated(served, finished):
    again = of_run(served, "eval")
    for name in ("top_1", "top_5", "loss", "examples", "checkpoint"):
        assert again[name] == finished[0][name]


def test_a_run_in_a_bucket_exports_and_predicts_the_same(served, finished, tmp_path):
    # An older export, with a file that the new one does not have.
    for name in ("saved_model.pb", "fingerprint.pb", "variables/old"):
        served.store.put("bucket", f"export/{name}", b"old")
    of_run(served, "export", f"--export_dir={commands.EXPORT}")
    changes = [
        (request.kind, request.name.removeprefix("export/"))
        for request in served.requests
        if request.kind in ("put", "delete") and ".trial-" not in request.name
    ]
    # Until the new graph is there the folder holds none, but is known for an export.
    assert changes == [
        ("delete", "saved_model.pb"),
        ("put", "fingerprint.pb"),
        ("put", "README.md"),
        ("put", "client.py"),
        ("put", "labels.txt"),
        ("put", "preparation.json"),
        ("put", "variables/variables.data-00000-of-00001"),
        ("put", "variables/variables.index"),
        ("put", "saved_model.pb"),
        ("delete", "variables/old"),
    ]
    folder = commands.fetch(served, tmp_path, "export/") / "export"
    assert not (folder / "variables/old").exists()
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = serve(encoded=finished[1][tf.newaxis])
    names = "gs://bucket/photos", "gs://bucket/im*.jpg"
    served.store.put("bucket", "photos/deep/a.jpg", finished[1].numpy())
    served.store.put("bucket", "photos/notes.txt", b"no image")
    output = "--output=gs://bucket/found.csv"
    first, told = of_run(served, "predict", *names, output)["results"]
    assert first["file"] == "gs://bucket/photos/deep/a.jpg"
    assert told["file"] == "gs://bucket/image.jpg"
    rows = commands.fetch(served, tmp_path, "found.csv") / "found.csv"
    assert len(rows.read_text().splitlines()) == 3
    assert told["predictions"][0] == {
        "class": int(expected["classes"][0]),
        "name": expected["class_names"][0].numpy().decode(),
        "probability": pytest.approx(
            float(expected["top_k_probabilities"][0, 0]), abs=1e-5
        ),
    }
