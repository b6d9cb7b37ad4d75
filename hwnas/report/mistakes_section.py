"""What the chosen network gets wrong: accuracy by class, which classes it mixes up, and the pictures."""

from __future__ import annotations

from hwnas.core.words import number

from .columns_cards import columns_cards
from .figure_sections import pending, section
from .markup import Html, HtmlContent, count, el, percent, percent_interval, table
from .run_files import JsonObject, RunFiles

MATRIX_CLASSES = 20
"""Up to so many classes the whole matrix is shown, else the pairs that are mixed up most often."""
_MOST_ROWS = 30
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def mistakes_section(run: RunFiles) -> Html:
    """By class, class for class, picture by picture; of the test images."""
    classes = _rows(run.mistakes, "classes")
    if isinstance(run.mistakes.get("table"), dict):
        return _counted_otherwise(run)
    if not classes:
        return section(
            "mistakes",
            "What it gets wrong",
            pending("No chosen network has been asked about the test images."),
        )
    confusions = _rows(run.mistakes, "confusions")
    names = [str(row.get("name")) for row in classes]
    matrix = _matrix(names, classes, confusions) if len(names) <= MATRIX_CLASSES else _pairs(confusions)
    wrong = sum((number(row.get("n")) or 0) - (number(row.get("right")) or 0) for row in classes)
    n = sum(number(row.get("n")) or 0 for row in classes)
    return section(
        "mistakes",
        "What it gets wrong",
        el("p", f"The chosen network answered {count(wrong)} of {count(n)} test images wrongly."),
        el("div", _by_class(classes), matrix, class_="grid"),
        _calibration(run.mistakes),
        columns_cards(run),
        picture_grid(_rows(run.mistakes, "pictures"), int(wrong)),
    )


def _counted_otherwise(run: RunFiles) -> Html:
    """The table that the task makes, and the pictures."""
    listed, n = run.mistakes["table"], number(run.mistakes.get("n")) or 0
    head = [str(name) for name in listed.get("head") or []]
    cells: list[list[HtmlContent]] = [[str(cell) for cell in row] for row in listed.get("rows") or []]
    wrong = number(run.mistakes.get("wrong"))
    said = f"Of {count(n)} test images" + ("" if wrong is None else f", {count(wrong)} with a mistake")
    return section(
        "mistakes",
        "What it gets wrong",
        el("p", f"{said}."),
        el("div", table(head, cells[:_MOST_ROWS]), class_="card figure"),
        columns_cards(run),
        picture_grid(
            _rows(run.mistakes, "pictures"),
            int(n if wrong is None else wrong),
            str(run.mistakes.get("shows") or ""),
        ),
    )


def _rows(mistakes: JsonObject, key: str) -> list[JsonObject]:
    value = mistakes.get(key)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _by_class(classes: list[JsonObject]) -> Html:
    known = [(str(c.get("name")), number(c.get("n")) or 0.0, number(c.get("right")) or 0.0) for c in classes]
    known.sort(key=lambda row: row[2] / row[1] if row[1] else 2.0)
    rows: list[list[HtmlContent]] = [
        [name, count(n), percent(right / n), percent_interval(right / n, n)] if n else [name, "0", "–", "–"]
        for name, n, right in known[:_MOST_ROWS]
    ]
    says = "The worst first" + (f", {_MOST_ROWS} of {len(known)} classes" if len(known) > _MOST_ROWS else "")
    return el(
        "div",
        el("h3", "By class"),
        el("p", f"{says}."),
        table(("Class", "Images", "Right", "95 % interval"), rows),
        class_="card figure",
    )


def _calibration(mistakes: JsonObject) -> Html | None:
    """Whether its probabilities are to be believed; None in runs of before."""
    error = number(mistakes.get("calibration_error"))
    if error is None:
        return None
    return el(
        "p",
        f"Expected calibration error: {error:.3f}, the mean distance between how sure it is and how often it "
        "is right (0: of the answers that say 80 %, 80 % are right; 15 bins).",
        class_="note",
    )


def _matrix(names: list[str], classes: list[JsonObject], confusions: list[JsonObject]) -> Html:
    counts = {(str(c.get("label")), str(c.get("answer"))): int(number(c.get("n")) or 0) for c in confusions}
    counts |= {(str(c.get("name")), str(c.get("name"))): int(number(c.get("right")) or 0) for c in classes}
    most = max([n for (label, answer), n in counts.items() if label != answer], default=1)

    def cell(label: str, answer: str) -> Html:
        n = counts.get((label, answer), 0)
        shade = f"background:rgba(216,67,92,{0.12 + 0.5 * n / most:.2f})" if n and label != answer else None
        return el("td", str(n) if n else "", style=shade)

    head = el("tr", el("th", "true ↓ answer →", scope="col"), [el("th", name, scope="col") for name in names])
    body = [el("tr", el("th", label, scope="row"), [cell(label, a) for a in names]) for label in names]
    return el(
        "div",
        el("h3", "Which classes it mixes up"),
        el("p", "Test images of each class by the answer of the network."),
        el(
            "div",
            el("table", el("thead", head), el("tbody", body), class_="matrix"),
            class_="scroll",
            tabindex="0",
        ),
        class_="card figure",
    )


def _pairs(confusions: list[JsonObject]) -> Html:
    rows: list[list[HtmlContent]] = [
        [str(c.get("label")), str(c.get("answer")), count(number(c.get("n")))]
        for c in confusions[:_MOST_ROWS]
    ]
    return el(
        "div",
        el("h3", "Which classes it mixes up"),
        el("p", "The most frequent first."),
        table(("Class", "Taken for", "Images"), rows),
        class_="card figure",
    )


def picture_grid(pictures: list[JsonObject], wrong: int, shows: str = "") -> Html | None:
    """Pictures with their true and their given label; None where there are none.

    wrong: how many answers are wrong in all. shows: what a picture is made of, where that is more than the
        sample.
    """
    drawn = []
    for row in pictures:
        png = str(row.get("png") or "")
        if not png or not _BASE64.issuperset(png):
            continue
        label, answer = str(row.get("label")), str(row.get("answer"))
        sure = number(row.get("sure"))
        drawn.append(
            el(
                "figure",
                el("img", src=f"data:image/png;base64,{png}", alt=f"{label}, taken for {answer}"),
                el(
                    "figcaption",
                    el("b", label),
                    f" taken for {answer}" + ("" if sure is None else f", {percent(sure, 0)}"),
                ),
            )
        )
    if not drawn:
        return None
    of = "All" if len(drawn) >= wrong else f"{len(drawn)} of {wrong}"
    return el(
        "div",
        el("h3", "The pictures"),
        el(
            "p",
            f"{of} wrong answers, the worst first"
            + (", with the probability that it gave them." if "sure" in pictures[0] else "."),
        ),
        el("p", shows) if shows else None,
        el("div", drawn, class_="pictures wide" if shows else "pictures"),
        class_="card figure",
    )
