"""Reports of how many images are done."""

import io

import pytest

from efficientnet_tf import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def counted(total, stream):
    with progress.Images(total, stream=stream) as counter:
        assert list(counter.count(range(total))) == list(range(total))
        counter.say("a line")
    return stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_up_to_a_hundred_images_are_not_reported(kind):
    assert counted(100, kind()) == "a line\n"


def test_a_terminal_gets_a_bar():
    text = counted(101, Terminal())
    assert "101/101" in text and "\r" in text
    # The bar makes room for the line.
    assert "\ra line\n" in text


def test_other_streams_get_lines(monkeypatch):
    now = iter(range(0, 2000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines = counted(101, io.StringIO()).splitlines()
    # An image takes 4 s, and 10 s lie between two lines at least.
    assert lines[0] == "3/101 images, 0 images/s"
    assert lines[-2].startswith("101/101 images, ")
    assert len(lines) == 35
    assert not any("\r" in line for line in lines)
