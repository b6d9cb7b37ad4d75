"""Every `>>>` example of a docstring runs, and prints what stands below it."""

import doctest
import importlib

import pytest

from tests.support.pages import ROOT

PACKAGES = ("targets", "profilers", "lut", "hwnas")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

SKIPPED = {"hwnas.pipeline.found_front", "hwnas.pipeline.search"}
"""Whose examples are whole searches; docs/python.md shows the like."""


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name: str) -> None:
    module = importlib.import_module(name)
    examples = [example for test in doctest.DocTestFinder().find(module) for example in test.examples]
    assert examples
    assert name in SKIPPED or not any(doctest.SKIP in example.options for example in examples)
    assert doctest.testmod(module).failed == 0


def test_there_are_examples() -> None:
    assert "hwnas.core.mix" in MODULES
