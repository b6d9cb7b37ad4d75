"""What a snippet must say truly: names, shapes, rules. Taken from the manifest and from nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwnas.core.samples import IMAGE, SampleKind, kind_named
from hwnas.exporting.golden import EXPECTED
from hwnas.exporting.onnx_score import HEADS
from hwnas.exporting.packaging import PROBABILITIES
from hwnas.tasks import Readable, task_named

CROP = (
    "Turn the image upright (EXIF), take its central square, scale that to the size below by an antialiased "
    "bicubic filter."
)
"""How every image becomes a square, in words; `hwnas/data/image.py` does it."""


_OUTPUTS = {"values": "estimates", "boxes": "log distances to four edges, and scores (logits)"}
"""What outputs are that are no scores alone, and below what else each is of, by how they are read."""
_PER = {"mask": " and pixel", "boxes": " and cell"}


@dataclass(frozen=True, kw_only=True)
class AppFacts:
    """How one file is fed and read.

    file: its name. pixels: whether it takes uint8 pixels. channels_last: their order.
    mean, std: of pixels in 0..1, for files that take floats.
    expected, tolerance: of the golden pair, of its outputs every `every`-th one.
    probabilities: whether the answers are those.
    readable: how answers are read. n_values: numbers of one answer; None for one per class and pixel.
    kind: of the samples. rate_hz: of sounds.
    heads: of a file with an output for each of several heads, how each is read and what its numbers are.
    """

    file: str
    input_name: str
    output_name: str
    pixels: bool
    channels_last: bool
    batch: int
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    expected: tuple[float, ...]
    tolerance: float
    probabilities: bool
    readable: Readable
    kind: SampleKind = IMAGE
    rate_hz: int = 0
    every: int = 1
    heads: Mapping[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    n_values: int | None = None

    @property
    def threshold(self) -> float:
        """Above it a tag is given."""
        return 0.5 if self.probabilities else self.readable.threshold

    @property
    def outputs(self) -> str:
        """What the numbers are."""
        scores = _OUTPUTS.get(self.readable.reading, "scores (logits)")
        return "probabilities" if self.probabilities else scores

    @property
    def each(self) -> str:
        """Of what there is one output."""
        return self.readable.each + _PER.get(self.readable.reading, "")

    @property
    def n_outputs(self) -> int:
        """Numbers of one answer."""
        pixels = self.height * self.width if self.readable.reading == "mask" else 1
        return self.n_values or pixels * len(self.class_names)

    @property
    def step(self) -> str:
        """What the place of an expected output is multiplied with, to find it among all."""
        return "" if self.every == 1 else f" * {self.every}"

    @property
    def words(self) -> dict[str, str]:
        """What templates call the program and what it does."""
        verb, noun = self.readable.verb, self.readable.noun
        return {"verb": verb, "Verb": verb.capitalize(), "Noun": noun, "noun": noun.lower()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        image = (self.height, self.width, self.channels)
        return (self.batch, *(image if self.channels_last else (image[2], *image[:2])))


def app_facts(manifest: Mapping[str, Any], golden: Mapping[str, bytes], file: str) -> AppFacts:
    """The facts of one file. golden: of `golden_pair`."""
    said = manifest["input"]
    answers = json.loads(golden[EXPECTED])["files"][file]
    layout = str(said["input_layout"])
    channels_last = layout.startswith("NHWC")
    shape = [int(size) for size in said["input_shape"]]
    height, width, channels = shape[1:] if channels_last else (*shape[2:], shape[1])
    return AppFacts(
        file=file,
        input_name=str(said["input_name"]),
        output_name=str(said["output_name"]),
        pixels=layout.endswith("uint8"),
        channels_last=channels_last,
        batch=shape[0],
        channels=channels,
        height=height,
        width=width,
        mean=tuple(said["mean"]),
        std=tuple(said["std"]),
        class_names=tuple(map(str, said["class_names"])),
        expected=tuple(answers["outputs"]),
        every=int(answers.get("every", 1)),
        n_values=answers.get("n"),
        tolerance=float(answers["tolerance"]),
        probabilities=said["output_name"] == PROBABILITIES,
        readable=task_named(manifest.get("task")).readable,
        kind=kind_named(said.get("sample")),
        rate_hz=int(said.get("rate_hz", 0)),
        heads=_heads(manifest),
    )


def _heads(manifest: Mapping[str, Any]) -> dict[str, tuple[str, Sequence[str]]]:
    """By the name of the output: how it is read, and its names; empty for one output."""
    outputs = manifest["input"].get(HEADS) or {}
    readings = task_named(manifest.get("task")).readings
    return {
        output: (reading, list(map(str, names)))
        for (output, names), reading in zip(outputs.items(), readings, strict=True)
    }


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with each `@NAME@` replaced. KeyError for a name without a value would be a bug."""
    parts = template.split("@")
    return "".join(part if i % 2 == 0 else values[part] for i, part in enumerate(parts))


def quoted(text: str) -> str:
    """A text between double quotes as C++, Kotlin and Swift read it; no character is special in them.

    JSON's escapes are those of C++ and Kotlin (but `$`); Swift spells unicode otherwise, so all above ASCII
    stays as it is, in UTF-8.
    """
    return json.dumps(text, ensure_ascii=False)


def numbers(values: Sequence[float], suffix: str = "") -> str:
    """`0.5f, 1.25f`: nine digits hold a float32."""
    return ", ".join(f"{_decimal(value)}{suffix}" for value in values)


def _decimal(value: float) -> str:
    text = f"{value:.9g}"
    return text if any(sign in text for sign in ".en") else f"{text}.0"
