"""Predictions and pages that are made up, and a reader of pages."""

import html.parser

import numpy as np

from efficientnet_tf.reports.contents import Contents, Photo, Speeds
from efficientnet_tf.reports.markup import VOID
from efficientnet_tf.reports.pictures import data_uri
from efficientnet_tf.training.tables import Table

HOSTILE = (
    '"><script>alert(1)</script>',
    "it's & <b>bold</b>",
    "line\nbreak\ttab\x00nul\x1b[31m",
    "bytes \udcff\udcfe",
    "`}</style><img src=x onerror=alert(1)>",
    "‮turned",
    "]]>--><!--",
    "&lt;kept&gt;",
    "",
    "a" * 300,
)


def predictions(images: int, classes: int, *, seed: int = 0, skill: float = 4) -> Table:
    """Likely predictions: the true class leads by `skill` logits on average."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images).astype("int32")
    parts = [
        _ranked(2 * rng.standard_normal((len(part), classes), "float32"), part, skill)
        for part in np.split(labels, range(1000, images, 1000))
    ]
    ranked, probabilities = map(np.concatenate, zip(*parts, strict=True))
    return Table(
        numbers=np.arange(images, dtype="int32"),
        labels=labels,
        classes=ranked,
        probabilities=probabilities,
    )


def _ranked(logits: np.ndarray, labels: np.ndarray, skill: float) -> tuple:
    """Numbers and probabilities of the five likeliest classes."""
    logits[np.arange(len(labels)), labels] += skill
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    ranked = np.argpartition(-logits, range(min(5, logits.shape[1])), axis=1)[:, :5]
    return ranked.astype("int32"), np.take_along_axis(shares, ranked, 1)


def scores(found: Table) -> dict:
    """The scores of predictions of one label an image."""
    hits = found.classes == found.labels[:, None]
    return {
        "top_1": float(hits[:, 0].sum()) / len(hits),
        "top_5": float(hits.sum()) / len(hits),
        "loss": 0.5,
        "weights": "ema",
    }


def contents(found, names, **chosen) -> Contents:
    """All that a page tells, of made-up predictions."""
    picture = data_uri(np.full((8, 8, 3), 128, "uint8"))
    photo = Photo("a/b.jpg", names[0], names[-1], 0.75, picture, picture, False)
    known = {
        "model": "efficientnet-b0",
        "dataset": "made up",
        "split": "validation",
        "date": "1 January 2026, 00:00 UTC",
        "facts": {"classes": f"{len(names):,}"},
        "scores": chosen.get("scores") or scores(found),
        "table": found,
        "names": names,
        "history": history(),
        "mistakes": [photo],
        "uncertain": [photo],
        "speeds": Speeds(1234.5, 2345.6, 1.5),
        "settings": {"model": "efficientnet-b0", "seed": 0},
        "commands": {"train": "python main.py", "evaluate": "python main.py"},
    }
    return Contents(**known | chosen)


def history(steps: int = 12) -> list[dict]:
    """Lines of metrics.jsonl; the best held-out accuracy is 0.85 at epoch 2.5."""
    lines = []
    for step in range(1, steps + 1):
        told = {"step": step, "epoch": step / 4}
        train = {"loss": 3 / step, "top_1": step / 20, "learning_rate": 0.016}
        lines.append({"kind": "train"} | told | train)
        if step % 5 == 0:
            scores = {"loss": 4 / step, "top_1": 0.35 + step / 20}
            lines.append({"kind": "eval", "split": "minival"} | told | scores)
    last = {"kind": "eval", "split": "validation", "step": steps, "epoch": 3.0}
    return [*lines, last | {"loss": 0.5, "top_1": 0.8}]


class Page(html.parser.HTMLParser):
    """Reads a page: its elements, their texts, and whether they are balanced."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts.append((self._open[-1], data))

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def links(self) -> list[str]:
        wanted = ("src", "href", "xlink:href", "action", "data", "srcset")
        return [
            value
            for _, attributes in self.elements
            for name, value in attributes.items()
            if name in wanted
        ]

    def words(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]

    @property
    def text(self) -> str:
        return "".join(text for tag, text in self.texts if tag != "style")
