"""Pages without any script: a policy in them forbids the browser to load or to run anything."""

from __future__ import annotations

from .markup import Html, HtmlContent, el, join
from .theme import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def script_free_page(title: str, content: HtmlContent, *, style: str = "") -> str:
    """A page around `content`, as text. style: CSS besides that of every page."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{title} · hwnas"),
        el("style", Html(STYLE + style)),
    )
    body = el("body", el("main", el("div", content, class_="wrap")))
    return f"<!doctype html>\n{el('html', join(head, body), lang='en')}\n"
