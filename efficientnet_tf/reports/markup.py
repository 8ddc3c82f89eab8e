"""HTML and SVG without a way to forget the escaping, and numbers in words."""

import html
import math
from collections.abc import Iterable, Sequence

from efficientnet_tf import label_sets

VOID = ("br", "img", "meta")  # elements without an end


class Markup(str):
    """Text that is HTML already; any other text is escaped."""

    __slots__ = ()


def element(
    name: str, /, *children: str | Iterable[str], **attributes: object
) -> Markup:
    """Makes an element.

    Args:
        name: name of the element.
        *children: texts, which are escaped, elements, and sequences of these.
        **attributes: values by name; `class_` is class, `aria_label` is aria-label. An
            attribute that is None is left out.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{join(children)}</{name}>")


def join(children: Iterable[str | Iterable[str]]) -> Markup:
    """Joins texts, which are escaped, and elements."""
    return Markup(
        "".join(
            child
            if isinstance(child, Markup)
            else escape(child)
            if isinstance(child, str)
            else join(child)
            for child in children
        )
    )


def escape(text: str) -> str:
    """Escapes a text for any place in a page, and what no page may hold."""
    return html.escape(label_sets.printable(str(text)))


def percent(share: float, *, of: int = 0) -> str:
    """Returns a share as a percentage; only what is exactly all is 100%.

    Args:
        share: float from 0 to 1; NaN, where there is nothing to share, is a dash.
        of: int, the images that are shared; from 10,000 on they take two decimals.
    """
    if math.isnan(share):
        return "–"
    digits = 2 if of >= 10_000 else 1
    least = 10.0**-digits
    if 100 - least / 2 <= share * 100 < 100:
        return f">{100 - least:.{digits}f}%"
    if 0 < share * 100 < least / 2:
        return f"<{least:.{digits}f}%"
    return f"{share:.{digits}%}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Returns a number of things in words: "1 image", "2,000 images"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int],
    caption: str,
) -> Markup:
    """Makes a table that scrolls in a box of its own.

    Args:
        heads: heads of the columns.
        rows: cells of each row, texts or elements.
        numbers: places of the columns of numbers, which are aligned on the right.
        caption: what the table shows, for those who hear the page.
    """

    def cells(name: str, row: Sequence[str], scope: str | None = None) -> list[Markup]:
        return [
            element(name, cell, class_="n" if i in numbers else None, scope=scope)
            for i, cell in enumerate(row)
        ]

    body = [element("tr", cells("td", row)) for row in rows]
    return scrolling(
        element(
            "table",
            element("thead", element("tr", cells("th", heads, "col"))),
            element("tbody", body),
            class_="plain",
        ),
        label=caption,
    )


def scrolling(content: Markup, *, label: str) -> Markup:
    """Makes a box that scrolls sideways, also by the keyboard."""
    return element(
        "div", content, class_="scroll", tabindex=0, role="region", aria_label=label
    )


def _number(value: object) -> str:
    """Returns an attribute's text; coordinates have two decimals at most."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
