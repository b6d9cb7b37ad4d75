"""Every `>>>` example of a docstring runs, and prints what stands below it."""

import doctest
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from targets import load_target
from tests.support.homes import chain_of_products, write_predictor
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


def predictor_and_model(folder: Path) -> None:
    """A home whose predictor says 0.1 ms a product, 0.05 ms a Gelu and 0.02 ms a network; three products."""
    write_predictor(folder, load_target("host"))
    (folder / "model.onnx").write_bytes(chain_of_products(3, [1, 32]))


PREPARED: dict[str, Callable[[Path], None]] = {"lut.predictor.device_predictor": predictor_and_model}
"""What lies in the folder, which is the data home too, where the examples of a module run."""


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path))
    PREPARED.get(name, lambda _: None)(tmp_path)
    module = importlib.import_module(name)
    examples = [example for test in doctest.DocTestFinder().find(module) for example in test.examples]
    assert examples
    assert name in SKIPPED or not any(doctest.SKIP in example.options for example in examples)
    assert doctest.testmod(module).failed == 0


def test_there_are_examples() -> None:
    assert "hwnas.core.mix" in MODULES
