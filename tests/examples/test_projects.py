"""The projects for Android and iOS call what the exported classes have, and name files that exports hold."""

from __future__ import annotations

import re
from pathlib import Path

from hwnas.exporting.snippets import AppFacts, snippets
from hwnas.exporting.variants import VARIANTS
from hwnas.tasks import CLASSIFICATION

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = snippets(
    AppFacts(
        file="model.onnx",
        input_name="image",
        output_name="logits",
        pixels=True,
        channels_last=True,
        batch=1,
        channels=3,
        height=32,
        width=32,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        class_names=("cat", "dog"),
        expected=(1.0, 0.0),
        tolerance=0.001,
        probabilities=True,
        readable=CLASSIFICATION.readable,
    )
)


def calls(text: str, value: str) -> set[str]:
    """What the project calls on `value`, and the class that it makes it of."""
    return set(re.findall(rf"\b{value}(?:\.| = | = try )(\w+)\(", text))


def test_the_android_project_calls_the_exported_class() -> None:
    text = next((EXAMPLES / "android").rglob("MainActivity.kt")).read_text(encoding="utf-8")
    program = PROGRAMS["snippets/Classifier.kt"]
    names = calls(text, "classifier")
    assert names == {"Classifier", "classify", "answersAsGolden", "close"}
    assert all(re.search(rf"(class|fun) {name}\b", program) for name in names)
    (model,) = re.findall(r'MODEL = "(.*)"', text)
    assert model in {variant.file for variant in VARIANTS.values()}
    assert "com.microsoft.onnxruntime:onnxruntime-android" in program
    assert "com.microsoft.onnxruntime:onnxruntime-android" in (
        EXAMPLES / "android/app/build.gradle.kts"
    ).read_text(encoding="utf-8")


def test_the_swift_package_calls_the_exported_class() -> None:
    text = (EXAMPLES / "ios/Sources/Classify/Check.swift").read_text(encoding="utf-8")
    program = PROGRAMS["snippets/Classifier.swift"]
    assert calls(text, "classifier") == {"Classifier", "answersAsGolden"}
    assert "final class Classifier" in program and "func answersAsGolden(raw: Data)" in program
    assert "init(model path: String)" in program and "Classifier(model:" in text
    assert "onnxruntime-swift-package-manager" in program
    assert "onnxruntime-swift-package-manager" in (EXAMPLES / "ios/Package.swift").read_text(encoding="utf-8")


def test_the_pages_speak_of_options_that_there_are() -> None:
    import typer

    from hwnas.commands.app import app

    export = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]  # a group
    known = {option for parameter in export.params for option in parameter.opts}
    for page in EXAMPLES.rglob("README.md"):
        for line in re.findall(r"hwnas export [^`\n]*", page.read_text(encoding="utf-8")):
            assert set(re.findall(r"--[a-z-]+", line)) <= known, page
