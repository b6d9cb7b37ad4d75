"""The page: its sections in one HTML file that loads nothing and runs no script but its own two.

A content security policy with the hashes of those two scripts is in the page: should a name ever slip
through as markup, the browser still refuses to run it, and nothing can reach the network.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from hwnas.core.samples import kind_named
from targets.files import write_atomic

from .devices_section import devices_section
from .facts import conditions
from .figure_sections import front_section, operations_section, prediction_section, search_section
from .growth_section import growth_section
from .markup import Html, el, join, told
from .mistakes_section import mistakes_section
from .network_sections import headline, networks_section
from .run_files import Describe, RunFiles, read_run
from .theme import SCRIPT, STYLE
from .usage_section import usage_section
from .worth_section import worth_section

NAV = (
    ("front", "Front"),
    ("prediction", "Prediction"),
    ("search", "Search"),
    ("worth", "Worth"),
    ("operations", "Operations"),
    ("networks", "Networks"),
    ("mistakes", "Mistakes"),
    ("use", "Use it"),
)


def write_report(run_path: Path, *, describe: Describe | None = None) -> Path:
    """Writes `report.html` into the run directory and returns its path; parts not there yet say so.

    describe: gives the blocks of an architecture string, for networks that no file of the run describes.
    """
    page = render(read_run(run_path, describe))
    path = run_path / "report.html"
    write_atomic(path, page)
    return path


def render(run: RunFiles) -> str:
    """The whole page as text."""
    from plotly.offline import get_plotlyjs

    library = get_plotlyjs()
    packed = base64.b64encode(gzip.compress(library.encode(), mtime=0)).decode()  # 2 MB in place of 4.8
    title = f"{run.path.resolve().name} · hwnas report"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy([library, SCRIPT])),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", Html(STYLE)),
    )
    sections = [
        front_section(run),
        growth_section(run),
        devices_section(run),
        prediction_section(run),
        search_section(run),
        worth_section(run),
        operations_section(run),
        networks_section(run),
        mistakes_section(run),
        usage_section(run),
    ]
    kind = kind_named((run.part("data") or {}).get("kind"))
    body = el(
        "body",
        _navigation(),
        Html(told(kind, headline(run))),
        el("main", Html(told(kind, el("div", sections, class_="wrap")))),
        _footer(run),
        el("script", Html(packed), type="application/gzip", id="library"),
        el("script", Html(SCRIPT)),
    )
    return f"<!doctype html>\n{el('html', join(head, body), lang='en')}\n"


def _navigation() -> Html:
    links = [el("a", text, href=f"#{anchor}") for anchor, text in NAV]
    return el("nav", el("div", el("b", "hwnas"), links, class_="wrap"))


def _footer(run: RunFiles) -> Html:
    versions = run.env.get("versions")
    known = versions.items() if isinstance(versions, dict) else ()
    facts = [f"{name} {version}" for name, version in known if version]
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    earlier = run.front.get("continued_from")
    lines = [
        f"Its networks go on from those of {Path(earlier).name}." if earlier else "",
        f"Written {written} from the files of {run.path.resolve().name}. Latency: {conditions(run)}.",
        " · ".join(facts),
    ]
    return el("footer", el("div", [el("div", line) for line in lines if line], class_="wrap"))


def _policy(scripts: list[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    # plotly writes style elements of its own and saves a figure through data: and blob: images.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
