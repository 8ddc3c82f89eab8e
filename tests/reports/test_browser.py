"""The page in a real browser: Chromium, without a window, if this machine has one."""

import html
import os
import shutil
import subprocess

import numpy as np
import pytest
import report_support
from PIL import Image

from efficientnet_tf.reports import page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The file of a page with hostile names, and its number of correct images."""
    found = report_support.predictions(360, len(report_support.HOSTILE))
    path = tmp_path_factory.mktemp("browser") / "report.html"
    names = report_support.HOSTILE
    path.write_text(page.render(report_support.contents(found, names)), "utf-8")
    return path, int((found.classes[:, 0] == found.labels).sum())


def open_page(path, *arguments) -> str:
    """What Chromium prints; it must not complain about the page."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [
            *(BROWSER, "--headless=new", "--disable-gpu", *sandbox),
            *("--enable-logging=stderr", f"--user-data-dir={path.parent}/profile"),
            *(*arguments, path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def test_the_headline_is_there_after_the_browser_has_read_it(report):
    path, correct = report
    shown = report_support.Page(open_page(path, "--dump-dom"))
    assert f"{correct / 360:.1%}" in shown.words("p")
    assert f"{correct} of 360 validation images are" in shown.text
    assert "script" not in shown.tags()


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn_light_and_dark(report, tmp_path, dark):
    path, _ = report
    shot = tmp_path / "shot.png"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    size = ("--window-size=1200,2000", f"--screenshot={shot}")
    open_page(path, *size, scheme)
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("L"))
        assert image.width == 1200
    # Most of a page is background, the rest letters and charts.
    background = np.median(pixels)
    assert background < 40 if dark else background > 240
    assert 0.02 < (abs(pixels - background) > 40).mean() < 0.4


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_page_never_scrolls_sideways(report, tmp_path, width):
    path, _ = report
    inside = html.escape(path.read_text("utf-8"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><body><iframe id=f width={width} "
        f'height=800 srcdoc="{inside}"></iframe><script>onload = () => {{document.'
        "body.id = 'w' + f.contentDocument.documentElement.scrollWidth}</script>",
        "utf-8",
    )
    printed = open_page(frame, "--dump-dom", "--window-size=1400,900")
    measured = int(printed.partition('<body id="w')[2].partition('"')[0])
    assert measured <= width
