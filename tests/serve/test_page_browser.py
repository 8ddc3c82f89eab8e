"""The page in a real browser: Chromium, without a window, if this machine has one."""

import base64
import io

import devtools
import numpy as np
import pytest
import serve_support
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        devtools.BROWSER is None, reason="there is no Chromium on this machine"
    ),
]
DROP = """
const files = new DataTransfer();
const bytes = Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0));
files.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
const event = new DragEvent("drop", {dataTransfer: files, bubbles: true});
document.getElementById("drop").dispatchEvent(event);
"""
DONE = "document.querySelectorAll('li[data-done]').length === %d"
HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with devtools.browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def photos(tmp_path):
    """Two photos, one with a hostile name, and a file that is no image."""
    paths = [tmp_path / name for name in ("photo.png", HOSTILE, "notes.png")]
    for number, path in enumerate(paths):
        path.write_bytes(serve_support.photo(number, size=(180, 160)))
    paths[2].write_text("no image")
    return [str(path) for path in paths]


def show(tab, server, paths, **size):
    tab.complaints.clear()
    tab.open(f"http://127.0.0.1:{server.port}/", **size)
    tab.choose("#files", *paths)
    tab.wait(DONE % len(paths))


def texts(tab, selector: str) -> list[str]:
    script = f"[...document.querySelectorAll('{selector}')].map((e) => e.textContent)"
    return tab.evaluate(script)


def test_photos_get_their_five_likeliest_classes_by_name(tab, server, photos):
    show(tab, server, photos)
    assert texts(tab, "#shown h2") == ["notes.png", HOSTILE, "photo.png"]
    expected = server.post(
        "/v1/predict", serve_support.photo(0, size=(180, 160)), "image/png"
    )
    rows = [
        f"{one['name']}{100 * one['probability']:.1f}%"
        for one in expected.json["results"][0]["predictions"]
    ]
    assert texts(tab, "#shown > li:last-child ol li") == rows
    (failed,) = texts(tab, ".failed")
    assert failed.startswith("image notes.png is refused: no image of a known format")
    assert all("of which the server took" in one for one in texts(tab, ".small")[:2])
    assert (
        tab.evaluate("document.querySelectorAll('#shown b, #shown h2 img').length") == 0
    )
    # The 422 of the file that is no image is the only thing in the console.
    assert all("422" in one for one in tab.complaints)


def test_the_keyboard_reaches_everything_and_shows_the_map(tab, server, photos):
    show(tab, server, photos[:1])
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.id") == "files"
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.textContent") == "Show where"
    before = tab.evaluate("document.querySelector('#shown img').src")
    tab.press("Enter", 13)
    tab.wait("document.activeElement.textContent === 'Show the photo'")
    tab.wait("document.querySelector('#shown img').naturalWidth === 32")
    assert tab.evaluate("document.querySelector('#shown img').src") != before
    tab.press("Enter", 13)
    tab.wait(f"document.querySelector('#shown img').src === '{before}'")
    assert not tab.complaints


def test_a_photo_can_be_dropped(tab, server):
    tab.open(f"http://127.0.0.1:{server.port}/")
    photo = serve_support.photo(size=(60, 60))
    tab.evaluate(f"(() => {{{DROP % base64.b64encode(photo).decode()}}})()")
    tab.wait(DONE % 1)
    assert texts(tab, "#shown h2") == ["dropped.png"]


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_it_never_scrolls_sideways_and_is_drawn(tab, server, photos, width, tmp_path):
    show(tab, server, photos, width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    shot = tab.screenshot()
    (tmp_path / "page.png").write_bytes(shot)
    with Image.open(io.BytesIO(shot)) as image:
        pixels = np.asarray(image.convert("L"))
        assert image.width == width
    background = np.median(pixels)
    assert 0.02 < (abs(pixels - background) > 40).mean() < 0.5


def test_the_description_is_shown(tab, server):
    tab.complaints.clear()
    tab.open(f"http://127.0.0.1:{server.port}/docs", width=390)
    assert "POST /v1/predict" in texts(tab, "h2")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert not tab.complaints
