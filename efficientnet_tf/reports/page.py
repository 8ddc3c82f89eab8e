"""The page of a report: one HTML file that needs no other, and no JavaScript."""

from collections.abc import Sequence

from efficientnet_tf.reports import class_sections, curves, headline, label_sections
from efficientnet_tf.reports.contents import Contents, Photo
from efficientnet_tf.reports.markup import Markup, count, element, join, percent, table
from efficientnet_tf.reports.style import CSS
from efficientnet_tf.training.tables import LabelTable


def render(contents: Contents) -> str:
    """Makes the page; equal contents make equal pages.

    Args:
        contents: all that the page tells.
    """
    found, names = contents.table, contents.names
    if isinstance(found, LabelTable):
        uncertain, of_kind = "labels", label_sections.sections(found, names)
    else:
        uncertain, of_kind = "images", class_sections.sections(found, names)
    sections = {
        "Training": curves.section(contents.history),
        **of_kind,
        "Mistakes": _mistakes(contents),
        f"Uncertain {uncertain}": _uncertain(contents),
        "Speed and settings": _repeat(contents),
    }
    there = {
        name.lower().replace(" ", "-"): (name, section)
        for name, section in sections.items()
        if section
    }
    links = [element("a", n, href=f"#{at}") for at, (n, _) in there.items()]
    body = element(
        "main",
        _headline(contents),
        element("nav", links),
        [element("section", section, id=at) for at, (_, section) in there.items()],
    )
    page = element("html", _head(contents), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _head(contents: Contents) -> Markup:
    title = f"{headline.of(contents).value} – {contents.model} on {contents.dataset}"
    screen = "width=device-width, initial-scale=1"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content=screen),
        element("title", title),
        element("style", Markup(CSS)),
    )


def _headline(contents: Contents) -> Markup:
    title = f"{contents.model} on {contents.dataset}, {contents.date}"
    told = headline.of(contents)
    score = element("div", _score(told))
    facts = element("dl", _facts(contents, told))
    return element(
        "header",
        element("p", "Evaluation report", class_="over"),
        element("h1", title),
        element("div", score, facts, class_="hero"),
    )


def _score(told: headline.Headline) -> list[Markup]:
    """Tells the leading score, in figures, in words and as a chart."""
    name = element("small", told.name)
    value = element("p", told.value, name, class_="value")
    return [value, element("p", told.told), told.chart]


def _facts(contents: Contents, told: headline.Headline) -> list[Markup]:
    scores, speeds = contents.scores, contents.speeds
    facts = told.facts | {"loss (cross-entropy)": f"{scores['loss']:.4f}"}
    facts |= contents.facts
    without = int((~contents.table.known).sum())
    if without:
        facts["images without a finite prediction"] = f"{without:,}"
    if speeds.training:
        facts["training speed"] = f"{speeds.training:,.0f} images/s"
    if speeds.evaluation:
        facts["evaluation speed"] = f"{speeds.evaluation:,.0f} images/s"
    return [join([element("dt", n), element("dd", v)]) for n, v in facts.items()]


def _mistakes(contents: Contents) -> Markup:
    found, what = contents.table, "mistake"
    wrong = int((~found.correct).sum())
    if isinstance(found, LabelTable):
        wrong = int((found.predicted != found.labels).sum())
        what = "mistaken label"
    shown = len(contents.mistakes)
    if not wrong:
        title = "There are no mistakes"
    elif shown == wrong:
        title = f"The {count(shown, what)}, the most confident first"
    else:
        title = f"The {shown} most confident of {count(wrong, what)}"
    if wrong and not shown:
        title = count(wrong, what) + ", without pictures: the data has no files"
    return _gallery(title, contents.mistakes)


def _uncertain(contents: Contents) -> Markup:
    photos = contents.uncertain
    if not photos:
        return Markup()
    right = sum(photo.is_right for photo in photos)
    one = "label" if isinstance(contents.table, LabelTable) else "image"
    title = (
        f"The {count(len(photos), f'most uncertain {one}')}: {right} of them "
        f"{'is' if right == 1 else 'are'} right"
    )
    return _gallery(title, photos)


def _gallery(title: str, photos: Sequence[Photo]) -> Markup:
    told = Markup()
    if any(photo.map for photo in photos):
        told = element(
            "p",
            "On the left what the model sees; on the right its evidence for the class "
            "in bold letters, from blue (least) over green to red (most within that "
            "image).",
            class_="quiet small",
        )
    elif photos:
        told = element(
            "p",
            "Each image as the model sees it. At this image size the last feature map "
            "has one place, so there are no class activation maps.",
            class_="quiet small",
        )
    shown = element("div", map(_photo, photos), class_="photos")
    return join([element("h2", title), told, shown])


def _photo(photo: Photo) -> Markup:
    pictures = {photo.true: photo.picture, f"map of {photo.predicted}": photo.map}
    images = [
        element("img", src=uri, alt=alt, width=128, height=128)
        for alt, uri in pictures.items()
        if uri
    ]
    verdict = "right" if photo.is_right else "wrong"
    return element(
        "figure",
        element("div", images, class_="pair"),
        element(
            "figcaption",
            element("b", photo.predicted, class_=verdict),
            f" {percent(photo.probability)}" + (photo.note and f", {photo.note}"),
            element("br"),
            f"true: {photo.true}",
            element("br"),
            element("span", photo.file, class_="quiet small"),
        ),
    )


def _repeat(contents: Contents) -> Markup:
    commands = [
        join([element("h3", f"To {what}"), element("pre", element("code", command))])
        for what, command in contents.commands.items()
    ]
    settings = table(
        ("setting", "value"),
        [(n, "–" if v is None else str(v)) for n, v in contents.settings.items()],
        numbers=(),
        caption="Settings",
    )
    beside = element(
        "p",
        "Beside this page: ",
        element("a", "predictions.csv", href="predictions.csv"),
        " has a line for each image, ",
        element("a", "classes.csv", href="classes.csv"),
        " one for each class.",
    )
    all_settings = element(
        "details",
        element("summary", f"All {len(contents.settings)} settings"),
        settings,
    )
    return join([element("h2", _speed(contents)), beside, commands, all_settings])


def _speed(contents: Contents) -> str:
    speeds = contents.speeds
    images = count(len(contents.table.labels), "image")
    told = f"Evaluation took {speeds.evaluation_seconds:,.1f} s for {images}"
    if speeds.training:
        told += f"; training ran at {speeds.training:,.0f} images/s"
    return told
