"""What is light stays light: a board and a shell prompt do not wait for torch."""

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "pandas", "sklearn", "scipy", "optuna", "onnx", "plotly", "skl2onnx"]


def loaded_by(statement: str) -> set[str]:
    code = (
        f"import json, sys; {statement}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize("module", ["targets", "profilers", "hwnas.commands.app", "hwnas"])
def test_import_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}").isdisjoint(HEAVY)


def test_the_command_line_starts_without_numpy_and_onnxruntime() -> None:
    assert loaded_by("import hwnas.commands.app").isdisjoint(["numpy", "onnxruntime", "pydantic"])


def test_the_console_script_takes_the_signals_before_it_loads_the_commands() -> None:
    assert loaded_by("import cli").isdisjoint(["hwnas", "targets", "typer"])


def test_targets_needs_the_standard_library_only() -> None:
    foreign = loaded_by("import targets") - loaded_by("pass") - set(sys.stdlib_module_names)
    assert foreign == {"targets"}


def test_lut_loads_no_torch() -> None:
    assert "torch" not in loaded_by("import lut")


def test_predicting_loads_neither_what_fits_nor_what_writes_networks() -> None:
    heavy = {"pandas", "sklearn", "scipy", "skl2onnx", "onnx", "torch"}
    assert loaded_by("import lut; lut.load_predictor").isdisjoint(heavy)


def test_words_of_a_command_are_checked_without_torch() -> None:
    lines = [
        "search --picks 0",
        "search --budget latency_ms<12",
        "search --target hots",
        "rank none --target host",
        "front merge none nothing",
        "export a.onnx --as fp8",
        "export a.onnx --target hots",
        "export a.onnx --with-preprocessing nhcw",
    ]
    run = f"import cli; assert [cli.run(line.split()) for line in {lines}] == {[2] * len(lines)}"
    assert "torch" not in loaded_by(f"{run}; import hwnas.pipeline.rank")


def test_a_wrong_name_is_refused_before_anything_heavy_is_loaded() -> None:
    lines = [
        "search --space mobil",
        "search --method darst",
        "search --strategy boo",
        "search --data cifr10",
        "search --evaluator short",
        "search --objective accuracy",
        "search --tracker mlflo",
        "search --evaluations 0",
        "train --genotype x --space darst",
        "train --genotype x --data cifr10",
        "train --alphas x --method darst",
        "train --genotype x --epochs 0",
        "export x --space mobil",
        "profile --space mobil",
        "profile --minutes 0",
        "spaces show mobil",
        "methods show darst",
        "strategies show boo",
    ]
    run = f"import cli; assert [cli.run(line.split()) for line in {lines}] == {[2] * len(lines)}"
    assert loaded_by(run).isdisjoint({*HEAVY, "numpy", "onnxruntime", "torchvision"})
