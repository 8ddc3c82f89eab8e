"""A run that has lost its folder in a bucket uploads nothing more."""

import os

import pytest

from efficientnet_tf import files
from efficientnet_tf.training import uploads


@pytest.fixture
def sent(monkeypatch):
    """The names of the files that are uploaded."""
    found = []
    monkeypatch.setattr(files, "upload", lambda _, url: found.append(url))
    return found


def write(out):
    with open(os.path.join(out.folder, "metrics.jsonl"), "a") as file:
        file.write("{}\n")


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_nothing_is_uploaded_to_a_folder_that_another_run_has_taken(sent, error):
    held = True

    def check_held():
        if not held:
            raise ValueError("taken over")

    with (
        pytest.raises(error or ValueError),
        uploads.Uploads("gs://bucket/run", check_held) as out,
    ):
        write(out)
        out.send()
        assert sent == ["gs://bucket/run/metrics.jsonl"]
        write(out)
        held = False
        if error:
            raise error
    assert len(sent) == 1 and not os.path.exists(out.folder)
