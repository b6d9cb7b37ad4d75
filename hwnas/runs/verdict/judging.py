"""The findings on a run, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hwnas.core.samples import kind_named

from . import course, figures
from .finding import LEVELS, Check, Finding
from .records import Records

_CHECKS: Sequence[Check] = (
    course.within_budgets,
    figures.beyond_chance,
    figures.beyond_trivial,
    figures.beyond_linear,
    course.long_enough,
    figures.beyond_random,
    course.budgets_bind,
    figures.repeated_splits,
    figures.even_by_column,
    course.failures,
    course.quiet_device,
    figures.enough_images,
    course.foreseen,
)


def verdict(front: Mapping[str, Any]) -> list[Finding]:
    """The findings on the run whose front.json this is, the worst first."""
    records = Records(front)
    told = kind_named(records.part("data").get("kind")).told
    findings = [
        replace(finding, sentence=told(finding.sentence), advice=told(finding.advice))
        for check in _CHECKS
        for finding in check(records)
    ]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
