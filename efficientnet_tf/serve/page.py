"""The page to drop photos on."""

from efficientnet_tf.reports.markup import Markup, count, element
from efficientnet_tf.serve.html_page import HtmlPage
from efficientnet_tf.serve.page_script import SCRIPT
from efficientnet_tf.serve.served import Served

_CSS = """
main { max-width: 860px; padding-top: 28px; }
.drop {
  display: block; margin: 20px 0; padding: 40px 20px; text-align: center;
  border: 2px dashed var(--rule); border-radius: 12px; background: var(--soft);
  cursor: pointer;
}
.drop:hover, .drop.over-it { border-color: rgb(var(--good)); }
.drop:focus-within { outline: 3px solid rgb(var(--good)); outline-offset: 2px; }
.drop b { display: block; font-size: 1.15rem; }
.drop input { position: absolute; width: 1px; height: 1px; opacity: 0; }
.shown { list-style: none; margin: 0; padding: 0; }
.shown > li {
  display: grid; grid-template-columns: minmax(0, 200px) minmax(0, 1fr); gap: 6px 20px;
  padding: 20px 0; border-top: 1px solid var(--rule);
}
.shown img { width: 100%; border-radius: 8px; background: var(--soft); display: block; }
.shown h2 { font-size: 1rem; margin: 0 0 8px; }
.shown button {
  font: inherit; min-height: 44px; width: 100%; margin-top: 8px; cursor: pointer;
  color: var(--ink); background: var(--soft); border: 1px solid var(--rule);
  border-radius: 8px;
}
.shown button:focus-visible { outline: 3px solid rgb(var(--good)); }
.shown ol { margin: 0; padding: 0; list-style: none; }
.shown ol li { padding: 3px 0; display: grid; grid-template-columns: 1fr auto;
  column-gap: 12px; }
.shown meter { grid-column: 1 / -1; width: 100%; height: 10px; }
.shown ol li:first-child { font-weight: 650; }
.failed { color: rgb(var(--bad)); }
@media (max-width: 520px) {
  .shown > li { grid-template-columns: 1fr; }
  .shown img { max-width: 320px; }
}
"""


def render(served: Served) -> HtmlPage:
    """Makes the page.

    Args:
        served: the model that the page asks.
    """
    classes = count(len(served.class_names), "class", "classes")
    body = element(
        "main",
        element("p", f"{served.name}, {classes}", class_="over"),
        element("h1", "What is in a photo?"),
        _drop(),
        element("p", id="told", class_="quiet", role="status", aria_live="polite"),
        element(
            "ul", id="shown", class_="shown", aria_label="Photos, the newest first"
        ),
        element("p", element("a", "HTTP interface", href="/docs"), class_="small"),
        data_maps="yes" if served.has_maps else None,
    )
    return HtmlPage(f"{served.name}: photos", body, css=_CSS, script=SCRIPT)


def _drop() -> Markup:
    """Makes the field, which a click, a key, a drop and a paste fill."""
    field = Markup('<input id="files" type="file" accept="image/*" multiple>')
    text = element("b", "Drop photos here")
    how = "or choose them (click, tap or Enter), or paste one"
    told = element("span", how, class_="quiet")
    return element("label", text, told, field, id="drop", class_="drop")
