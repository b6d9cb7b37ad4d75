"""What to think of the run, before its figures."""

from __future__ import annotations

from hwnas.runs.verdict import Finding, verdict

from .markup import Html, el
from .run_files import RunFiles

_WORDS = {"bad": "Do not use", "warn": "Mind", "good": "Good"}
_TITLES = {
    "outside_budget": "Nothing inside the budgets",
    "chance_level": "No better than guessing",
    "linear_model_better": "No better than a linear model",
}


def worst(run: RunFiles) -> Finding | None:
    """The finding for which no figure of the run should be believed; None where there is none."""
    return next((finding for finding in verdict(run.front) if finding.level == "bad"), None)


def title_of(finding: Finding) -> str:
    """The headline of a run with that finding."""
    return _TITLES.get(finding.code, "This run is not worth using")


def verdict_box(run: RunFiles) -> Html | None:
    """Every finding with what to do, the worst first; None where there is nothing to say yet."""
    findings = verdict(run.front)
    if not findings:
        return None
    rows = [
        el(
            "li",
            el("b", _WORDS[finding.level]),
            el("span", finding.sentence, el("small", finding.advice) if finding.advice else None),
            class_=finding.level,
        )
        for finding in findings
    ]
    return el("ul", rows, class_="verdict", id="verdict")
