"""A page that loads nothing: its own style and script alone may work in it."""

import base64
import hashlib

from starlette.responses import HTMLResponse, Response

from efficientnet_tf.reports.markup import Markup, element
from efficientnet_tf.reports.style import CSS


class HtmlPage:
    """A page as it is sent, with the policy that a browser keeps to.

    Args:
        title: the page's title.
        body: what the page shows.
        css: style sheet, in addition to that of the reports.
        script: JavaScript to run at the end of the body.
    """

    def __init__(self, title: str, body: Markup, *, css: str = "", script: str = ""):
        self._style = CSS + css
        self._script = script
        self._text = f"<!DOCTYPE html>\n{self._document(title, body)}\n"

    def response(self) -> Response:
        """Makes an answer."""
        headers = {
            "Content-Security-Policy": self._policy(),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(self._text, headers=headers)

    def _document(self, title: str, body: Markup) -> Markup:
        screen = "width=device-width, initial-scale=1"
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content=screen),
            element("title", title),
            Markup('<link rel="icon" href="data:,">'),  # else browsers ask for one
            element("style", Markup(self._style)),
        )
        script = element("script", Markup(self._script)) if self._script else Markup()
        return element("html", head, element("body", body, script), lang="en")

    def _policy(self) -> str:
        script = f"'{_digest(self._script)}'" if self._script else "'none'"
        return (
            "default-src 'none'; connect-src 'self'; img-src blob: data:; "
            f"style-src '{_digest(self._style)}'; script-src {script}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def _digest(text: str) -> str:
    """Returns what allows a style or a script in a policy."""
    found = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(found).decode()}"
