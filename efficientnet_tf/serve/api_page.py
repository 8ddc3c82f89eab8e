"""The page that shows the OpenAPI document, without scripts."""

import json
from typing import Any

from efficientnet_tf.reports.markup import Markup, element, table
from efficientnet_tf.serve.html_page import HtmlPage

_CSS = """
section { margin-top: 40px; }
h2 code { font: 600 1.1rem ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
"""


def render(document: dict[str, Any]) -> HtmlPage:
    """Makes the page.

    Args:
        document: the document of `openapi.document`.
    """
    info = document["info"]
    sections = [
        _section(path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    body = element(
        "main",
        element("p", "HTTP interface", class_="over"),
        element("h1", info["title"]),
        element("p", info["description"]),
        element("p", element("a", "openapi.json", href="/openapi.json")),
        sections,
    )
    return HtmlPage(f"HTTP interface of {info['title']}", body, css=_CSS)


def _section(path: str, method: str, operation: dict[str, Any]) -> Markup:
    parts = [
        element("h2", element("code", f"{method} {path}")),
        element("p", f"{operation['summary']}. {operation.get('description', '')}"),
    ]
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        rows = [(kind, _words(one["schema"])) for kind, one in content.items()]
        parts.append(_table(("Content-Type", "body"), rows, f"Bodies of {path}"))
    rows = [
        (status, f"{one['description']}: {', '.join(one['content'])}")
        for status, one in operation["responses"].items()
    ]
    parts.append(_table(("status", "answer"), rows, f"Answers of {path}"))
    return element("section", parts)


def _table(heads: tuple[str, str], rows: list[tuple], caption: str) -> Markup:
    return table(heads, rows, numbers=(), caption=caption)


def _words(schema: dict[str, Any]) -> str:
    """Returns a schema as an example in JSON's manner."""
    return (
        json.dumps(_example(schema)) if "properties" in schema else "the file's bytes"
    )


def _example(schema: dict[str, Any]) -> Any:
    if "properties" in schema:
        return {name: _example(one) for name, one in schema["properties"].items()}
    if schema["type"] == "array":
        return [_example(schema["items"])]
    told = schema.get("description") or schema.get("format") or schema["type"]
    return schema.get("default", told)
