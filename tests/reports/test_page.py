"""The page of a report: what it says, and that it is whole, safe and the same twice."""

import dataclasses
import re
import time

import numpy as np
import pytest
import report_support
from report_support import HOSTILE, Page

from efficientnet_tf import label_sets
from efficientnet_tf.reports import markup, metrics, page

NAMES = tuple(f"class {number}" for number in range(10))


@pytest.fixture(scope="module")
def found():
    return report_support.predictions(360, 10)


@pytest.fixture(scope="module")
def shown(found):
    return Page(page.render(report_support.contents(found, NAMES)))


def assert_safe(shown: Page) -> None:
    """It needs nothing from elsewhere, and runs nothing."""
    assert not {"script", "link", "iframe", "object", "embed", "form"} & shown.tags()
    beside = {"predictions.csv", "classes.csv"}
    for link in shown.links():
        assert link in beside or re.match("#|data:image/jpeg;base64,", link), link
    for _, attributes in shown.elements:
        assert not [name for name in attributes if name.startswith("on")]
    (style,) = ["".join(shown.words("style"))]
    assert "url(" not in style and "@import" not in style


def test_the_headline_has_accuracy_interval_and_what_was_evaluated(shown, found):
    correct = int((found.classes[:, 0] == found.labels).sum())
    low, high = (f"{end:.1%}" for end in metrics.wilson(correct, 360))
    assert "".join(shown.words("title")).startswith(f"{correct / 360:.1%} – ")
    assert f"{correct / 360:.1%}" in shown.words("p")
    assert (
        f"{correct} of 360 validation images are classified correctly. The 95% "
        f"interval is {low} to {high} (Wilson, n = 360)."
    ) in shown.words("p")
    (heading,) = shown.words("h1")
    assert heading == "efficientnet-b0 on made up, 1 January 2026, 00:00 UTC"


def test_the_page_is_for_phones_and_needs_nothing_else(shown):
    assert_safe(shown)
    wanted = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert ("meta", wanted) in shown.elements
    assert ("meta", {"charset": "utf-8"}) in shown.elements
    assert "prefers-color-scheme: dark" in "".join(shown.words("style"))
    # Wide content scrolls in a box that the keyboard reaches.
    boxes = [a for _, a in shown.elements if a.get("class") == "scroll"]
    assert len(boxes) == 3 and {box["tabindex"] for box in boxes} == {"0"}
    assert all("alt" in a for tag, a in shown.elements if tag == "img")


def test_links_lead_to_sections(shown):
    targets = {a["id"] for _, a in shown.elements if "id" in a}
    assert {link[1:] for link in shown.links() if link[0] == "#"} == targets
    assert {"training", "confusions", "calibration", "mistakes"} < targets


def test_titles_state_what_was_found(shown, found):
    titles = shown.words("h2")
    assert titles[0] == "Held-out accuracy reached 85.0% at epoch 2.5"
    (true, taken, images), *_ = metrics.confused_pairs(found.labels, found.predicted)
    total = (found.labels == true).sum()
    assert titles[1] == (
        f"The most frequent mistake: {images} of {total} images of “class {true}” "
        f"taken for “class {taken}”"
    )
    assert titles[2].startswith("F1 goes from ")
    assert titles[3].startswith(("The model is ", "Probabilities match"))
    assert titles[-1].startswith("Evaluation took 1.5 s for 360 images; training ran")


def test_the_matrix_has_every_count(shown, found):
    cells = [
        text for text in shown.words("td") if re.fullmatch(r"[\d,]+", text)
    ]  # of the table of classes too
    counts = metrics.confusion(found.labels, found.predicted, 10)
    expected = [str(count) for count in counts.ravel() if count]
    assert cells[: len(expected)] == expected


def test_equal_contents_make_equal_pages(found):
    once, again = (page.render(report_support.contents(found, NAMES)) for _ in range(2))
    assert once == again
    other = report_support.contents(found, NAMES, date="2 January 2026, 00:00 UTC")
    assert once == page.render(other).replace("2 January", "1 January")


def test_hostile_names_are_text(found):
    names = HOSTILE
    photo = report_support.contents(found, NAMES).mistakes[0]
    photos = [
        dataclasses.replace(photo, file=name, true=name, predicted=name)
        for name in names
    ]
    text = page.render(
        report_support.contents(
            found,
            names,
            model=names[0],
            dataset=names[1],
            date=names[4],
            facts=dict.fromkeys(names, names[0]),
            settings={name: name for name in names},
            commands={name: name for name in names},
            mistakes=photos,
            uncertain=photos,
        )
    )
    text.encode()  # no bytes that are no UTF-8
    assert not re.findall("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    shown = Page(text)
    assert_safe(shown)
    for name in names:
        assert label_sets.printable(name) in shown.text
    assert "alert" not in " ".join(shown.tags())
    assert "<script" not in text and "onerror=alert(1)>" not in text


def test_many_classes_take_tables_that_say_what_they_leave_out():
    found = report_support.predictions(50_000, 1000, skill=1)
    names = [f"name {number}" for number in range(1000)]
    began = time.process_time()
    text = page.render(report_support.contents(found, names))
    assert time.process_time() - began < 10
    assert len(text) < 1_000_000
    shown = Page(text)
    pairs = metrics.confused_pairs(found.labels, found.predicted)
    assert f"The first 50 of {len(pairs):,} pairs of classes" in shown.text
    assert "The first 100 of 1,000 classes, the lowest F1 first" in shown.text
    assert sum(tag == "tr" for tag, _ in shown.elements) == 1 + 50 + 1 + 100 + 1 + 2
    each = metrics.class_scores(found.labels, found.predicted, 1000)
    worst = names[int(np.argsort(each.f1, kind="stable")[0])]
    assert f"F1 goes from {each.f1.min():.1%} (“{worst}”) to" in shown.text


@pytest.mark.parametrize("classes", [50, 51])
def test_the_matrix_ends_at_50_classes(classes):
    found = report_support.predictions(2000, classes, skill=2)
    names = [f"name {number}" for number in range(classes)]
    shown = Page(page.render(report_support.contents(found, names)))
    has_matrix = any("matrix" in a.get("class", "") for _, a in shown.elements)
    assert has_matrix == (classes == 50)


def test_classes_that_are_not_there_have_no_row():
    found = report_support.predictions(100, 3)
    names = [f"name {number}" for number in range(900)]
    shown = Page(page.render(report_support.contents(found, names)))
    assert "All 3 classes" in shown.text
    assert "897 classes have no image here and no prediction." in shown.text


def test_a_perfect_model_has_no_mistakes():
    found = report_support.predictions(50, 3, skill=100)
    contents = report_support.contents(found, NAMES[:3], mistakes=[], history=[])
    shown = Page(page.render(contents))
    titles = shown.words("h2")
    assert titles[:2] == [
        "No class is taken for another",
        "Every class has an F1 of 100.0%",
    ]
    assert "There are no mistakes" in titles
    assert "100.0%" in shown.words("p") and "polyline" not in shown.tags()


def test_a_model_that_answers_nan_is_told(found):
    classes, shares = found.classes.copy(), found.probabilities.copy()
    classes[:100], shares[:100] = -1, 0
    broken = dataclasses.replace(found, classes=classes, probabilities=shares)
    shown = Page(page.render(report_support.contents(broken, NAMES)))
    place = shown.words("dt").index("images without a finite prediction")
    assert shown.words("dd")[place] == "100"
    nothing = dataclasses.replace(
        found, classes=np.full_like(classes, -1), probabilities=shares * 0
    )
    shown = Page(page.render(report_support.contents(nothing, NAMES, mistakes=[])))
    assert "0.0%" in shown.words("p")


@pytest.mark.parametrize(
    ("share", "of", "expected"),
    [
        (1, 10, "100.0%"),
        (0.9999, 360, ">99.9%"),
        (0.9999, 10_000, "99.99%"),
        (0.99999, 50_000, ">99.99%"),
        (0, 10, "0.0%"),
        (1e-5, 10, "<0.1%"),
        (0.12345, 9999, "12.3%"),
        (0.12345, 10_000, "12.35%"),
        (float("nan"), 5, "–"),
    ],
)
def test_only_all_is_100_percent(share, of, expected):
    assert markup.percent(share, of=of) == expected
