"""Learn the layout rule of a target from networks whose kernels it reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .apply import apply_rule
from .compare import Kernels, fidelity
from .rule import BLOCK_SIZES, LayoutRule

_MULTIPLES = (4, 8, 16)

_CHOICES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("blocked", (True, False)),
    ("block_size", BLOCK_SIZES),
    ("dense_multiple", _MULTIPLES),
    ("depthwise_multiple", _MULTIPLES),
    ("fuses_sum", (True, False)),
    ("scales", (True, False)),
    ("fuses_plain_sum", (True, False)),
    ("channels_last", (True, False)),
)
_SETS = ("fuses", "keeps", "resizes")


def learn_rule(pairs: Sequence[tuple[Kernels, Kernels]], start: LayoutRule | None = None) -> LayoutRule:
    """The rule under which the kernels of level `extended` become those that the target ran.

    pairs: (kernels of level `extended`, kernels that the target ran) of each network.
    start: the rule to begin with, by default that of current x64 builds. A value that no network depends on
        stays as it is there.

    One value after the other is changed as long as that makes more kernels match.
    """
    rule = start or LayoutRule()
    best, before = _share(pairs, rule), -1.0
    while before < best < 1:
        before = best
        for name, values in _moves():
            for value in values:
                changed: Any = {name: _toggled(rule, name, value) if name in _SETS else value}
                candidate = replace(rule, **changed)
                share = _share(pairs, candidate) if candidate != rule else best
                if share > best:
                    rule, best = candidate, share
    return rule


def _share(pairs: Sequence[tuple[Kernels, Kernels]], rule: LayoutRule) -> float:
    return fidelity((apply_rule(extended, rule), real) for extended, real in pairs).share


def _moves() -> list[tuple[str, tuple[Any, ...]]]:
    """Names of values and what to try for them, the ones that decide most first."""
    default = LayoutRule()
    return [*_CHOICES, *((name, (member,)) for name in _SETS for member in getattr(default, name))]


def _toggled(rule: LayoutRule, name: str, member: str) -> tuple[str, ...]:
    return tuple(sorted({*getattr(rule, name)} ^ {member}))
