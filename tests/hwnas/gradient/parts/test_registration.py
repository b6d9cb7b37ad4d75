"""A part registers itself by lying in the folder of parts."""

import sys
from pathlib import Path

import pytest

from hwnas.core.registry import Registry, part
from hwnas.gradient import parts
from hwnas.gradient.method import relax
from hwnas.gradient.methods import DARTS
from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.parts.weight_rules import RULE_PASSES, WEIGHT_RULES
from hwnas.gradient.step.protocols import Relax

PART = """
from hwnas.gradient.parts.relax import RELAXATIONS, softmax

RELAXATIONS.add("lying_there")(softmax)
"""


def test_a_new_file_needs_no_import_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lying_there.py").write_text(PART, encoding="utf-8")
    monkeypatch.setattr(parts, "__path__", [*parts.__path__, str(tmp_path)])
    relaxations: Registry[Relax] = Registry("relaxation")
    for name, relaxation in RELAXATIONS.parts.items():
        relaxations.add(name)(relaxation)
    for module in ("hwnas.gradient.parts.relax", "hwnas.gradient.method"):
        monkeypatch.setattr(f"{module}.RELAXATIONS", relaxations)
    parts.register_parts()
    monkeypatch.delitem(sys.modules, "hwnas.gradient.parts.lying_there")
    assert relax("lying_there").resolve().weight is RELAXATIONS["softmax"]


def test_every_weight_rule_says_how_many_passes_it_makes() -> None:
    assert list(RULE_PASSES) == list(WEIGHT_RULES)
    assert DARTS.make_weight_rule(DARTS.stages[0]) is WEIGHT_RULES[part("plain").name]
