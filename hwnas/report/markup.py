"""HTML that cannot be forgotten to escape: a plain `str` is text, only `Html` is markup.

Architecture ids, class names, target names and error texts come from files, so they are untrusted.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence

from hwnas.core.samples import IMAGE, SampleKind
from hwnas.runs.intervals import wilson

VOID = frozenset({"br", "hr", "img", "meta", "link"})


class Html(str):
    """Markup that is safe to put into the page as it is."""

    __slots__ = ()


HtmlContent = str | Iterable["HtmlContent"] | None


def esc(text: str) -> Html:
    """`text` with the five special characters replaced; `Html` unchanged."""
    return text if isinstance(text, Html) else Html(html.escape(text, quote=True))


def join(*children: HtmlContent) -> Html:
    """Children one after the other; strings that are not Html are escaped, None is left out."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, str):
            parts.append(esc(child))
        elif child is not None:
            parts.append(join(*child))
    return Html("".join(parts))


_PROGRAMS = "script|style|pre|code"
_TAGS = re.compile(rf"(<(?:{_PROGRAMS})\b.*?</(?:{_PROGRAMS})>|<[^>]*>)", re.DOTALL)


def told(kind: SampleKind, page: str) -> str:
    """A page that was written for images in the words of this kind: its texts alone."""
    if kind is IMAGE:
        return page
    return "".join(part if i % 2 else kind.told(part) for i, part in enumerate(_TAGS.split(page)))


def el(name: str, /, *children: HtmlContent, **attributes: str | float | None) -> Html:
    """`<name attributes>children</name>`. `class_` and `data_x` become class and data-x; None leaves out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{esc(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def table(
    head: Sequence[HtmlContent], rows: Iterable[Sequence[HtmlContent]], *, class_: str | None = None
) -> Html:
    """A table that scrolls sideways on a narrow screen; the first column is a row header."""
    body = [el("tr", el("th", row[0], scope="row"), [el("td", cell) for cell in row[1:]]) for row in rows]
    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", [el("th", cell, scope="col") for cell in head])),
            el("tbody", body),
            class_=class_,
        ),
        class_="scroll",
        tabindex="0",
    )


NOT_KNOWN = "–"
NBSP = "\N{NO-BREAK SPACE}"  # a number and its unit stay on one line


def fixed(value: float | None, digits: int, unit: str = "") -> str:
    """`value` with that many decimals and its unit; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    return f"{value:.{digits}f}{unit}".replace(" ", NBSP)


def ms(value: float | None, *, unit: bool = True) -> str:
    """Milliseconds to three significant digits, at most four decimals."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    digits = 2 if value <= 0 else min(4, max(0, 2 - math.floor(math.log10(value))))
    return f"{value:.{digits}f}{NBSP + 'ms' if unit else ''}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0..1 as a percentage."""
    return fixed(None if share is None else 100 * share, digits, " %")


def percent_interval(share: float, n: float) -> str:
    """The 95 % interval of a share counted on n samples (Wilson 1927): `96.4 to 99.2 %`."""
    low, high = wilson(share, n)
    return f"{100 * low:.1f} to {percent(high)}"


def signed_percent(share: float) -> str:
    """A relative difference with its sign, as typographers write it."""
    return f"{100 * share:+.1f}{NBSP}%".replace("-", "−")


def count(value: float | None) -> str:
    """A count with k, M or G, three significant digits: 4 920 000 is 4.92 M."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:  # 999 600 is 1.00 M, not 1000 k
            scaled = value / size
            return f"{scaled:.{2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0}f}{NBSP}{unit}"
    return f"{value:g}"
