"""The protocol of a task, and the small records that pass through it.

Outputs are what a network gives while it trains; answers are what its exported file gives. They differ where
a task rescales: `finish` writes the difference into the network before it is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Answers = NDArray[Any]
"""(n, k) float32, or what the task keeps of them."""
LabelArray = NDArray[Any]
"""(n,) int64 of classes, (n, k) float32, (n, m, 6) float32 of boxes, or (n, s, s) uint8 of masks.

Before any pixel is read, what is known of a mask is how many of its pixels are of each class: (n, k) int64.
`check`, `strata`, `members`, `notes` and `fitted` are given those, all other methods the masks."""
Reading = Literal["top", "above", "values", "mask", "boxes", "next", "heads"]
"""How a program reads answers: the largest, all above a threshold, numbers, the largest of each pixel, boxes,
what may follow, those of each head in its own way."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of merit. That of a task is within 0..1, higher is better.

    name: in columns, as `val_<name>`.
    label: in sentences and headings.
    counted: whether it is a share of the samples, so that a binomial interval holds.
    lower_is_better: of errors, in the units of the data.
    """

    name: str
    label: str
    counted: bool = False
    lower_is_better: bool = False


@dataclass(frozen=True, slots=True)
class LabelTable:
    """The labels of a source as text.

    source: what is read, for messages.
    columns: names of the label columns.
    cells: per sample one text per column.
    samples: names of the samples, for messages.
    """

    source: str
    columns: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]
    samples: Sequence[str]


@dataclass(frozen=True, slots=True)
class Labels:
    """names: of the outputs. values: (n,) or (n, k) as the task has them.

    task: the one that read them, with what they told it; None where they told nothing.
    """

    names: tuple[str, ...]
    values: LabelArray
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Readable:
    """How answers are read outside of here.

    reading: what a program does with them.
    threshold: of `above`, for answers without `activation`.
    activation: the ONNX operator that makes answers probabilities; None where there is none.
    verb, noun: of the programs that are exported: `classify`, `Classifier`.
    what: the network in a sentence, as `an image classifier`.
    each, answer: of what there is one output, and what is read from all: `class`, `the class`.
    """

    reading: Reading
    threshold: float
    activation: str | None
    verb: str
    noun: str
    what: str
    each: str
    answer: str


class Task(Protocol):
    """What is learned. Arrays of outputs and answers are (n, k) float32."""

    does: str
    readable: Readable
    head: str
    """What its networks end with, a name of `hwnas.networks.heads.HEADS`."""
    many_columns: bool
    """Whether a CSV holds a column for each output."""
    planes: int
    """Channels behind those of an image that are its label: one of a mask, else none."""
    boxes: bool
    """Whether its labels are boxes, which move with their images."""

    mixes: bool
    """Whether labels can be mixed, drawn evenly and taught by another network's answers, as classes can."""
    texts: bool
    """Whether it is learned from a text, by networks that read symbols; else from images and signals."""
    recipe: Mapping[str, Any]
    """Fields of a `Recipe` that are others than the default where it is learned."""
    scores: tuple[str, ...]
    """Other metrics in 0..1 that it can be scored by, higher is better; a training tells them all."""

    @property
    def name(self) -> str:
        """As options and files spell it."""

    @property
    def metric(self) -> Metric:
        """The objective."""

    @property
    def mirror(self) -> bool:
        """Whether a mirrored image has the same label, as far as one can say without knowing the data."""

    @property
    def weighs(self) -> bool:
        """Whether `balanced` has a meaning."""

    @property
    def smooths(self) -> bool:
        """Whether labels can be smoothed."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns that its name states; empty where it states none."""

    @property
    def file_outputs(self) -> Mapping[str, tuple[str, ...]]:
        """Of a file with several outputs, what the numbers of each are, by its name; empty for one output."""

    @property
    def readings(self) -> tuple[Reading, ...]:
        """How a program reads each of `file_outputs`; known by the name of the task alone."""

    @property
    def mark(self) -> str:
        """Tells the labels of one task from equal ones of another; empty for classification."""

    @property
    def part_metric(self) -> Metric:
        """What is told of some of the samples, as of a person: the objective, unless that needs all."""

    @property
    def pixel_models(self) -> tuple[str, ...]:
        """What convolutions are compared with, names of `hwnas.training.pixel_models.PIXEL_MODELS`."""

    def read(self, table: LabelTable) -> Labels:
        """The labels as numbers; UsageError names what cannot be read."""

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """UsageError where nothing can be learned. trained: (n,), which samples may train."""

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Names of the parts that each split shall hold alike, and the part of every sample, (n,)."""

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """What is counted of a data set, by name: (n,), which samples belong to it."""

    def notes(self, names: Sequence[str], labels: LabelArray) -> list[str]:
        """What to know of the training labels, a sentence each."""

    def scored_by(self, metric: str) -> Task:
        """The same task whose `metric` is that of `scores`; UsageError where it is none of them."""

    def fitted(self, labels: LabelArray) -> Task:
        """The task with what it takes from the training labels."""

    def balanced(self, labels: LabelArray) -> Task:
        """The task with a loss in which rare labels count as much; UsageError where there are none."""

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """What training minimises; `reduction` as torch has it."""

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """How many of the samples of a batch are answered well: a sum of shares, as a scalar."""

    def kept(self, outputs: Answers, labels: LabelArray) -> LabelArray:
        """What is kept of the outputs of a batch, (b, …): all, or what the other methods need of many.

        labels: of the batch.
        """

    def answers(self, outputs: LabelArray) -> LabelArray:
        """From what is kept of outputs to answers."""

    def finish(self, module: nn.Module) -> nn.Module:
        """The same network, changed in place so that its outputs are answers."""

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """Every metric by name, that of `metric` first."""

    def score(self, answers: Answers, labels: LabelArray) -> float:
        """The objective, within 0..1."""

    def scorer(self, answers: Answers, labels: LabelArray) -> Callable[[NDArray[np.int64]], float]:
        """`score` of the samples at these places, which may come twice: for intervals by resampling."""

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """(n,): where two networks tell a user different things."""

    def agreement(self, answers: LabelArray, others: LabelArray) -> float:
        """How much of what two networks tell a user is the same, 0..1."""

    def shown(self, image: NDArray[np.uint8], label: Any, answer: Any) -> NDArray[np.uint8]:
        """(c, h, w): what a page shows of a sample, where a picture tells more than text."""

    def plain(self, probabilities: Answers) -> Answers:
        """Answers from those behind `readable.activation`; what orders and decides alike is enough."""

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """(n,): how sure each answer is, where it is good; the largest makes the golden pair."""

    def outputs_in_words(self, n: int) -> str:
        """So many outputs: `10 classes`."""

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """The true label of the golden image, as JSON."""

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """What needs no network, in words, and what it scores on the test labels."""

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """How good a file is in detail, as JSON, for the manifest.

        answers: as `plain` gives them. probabilities: whether the file has the activation inside.
        """

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """The same for people: heading and rows of a table, and sentences."""

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """What the network gets wrong, as JSON for the page."""

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """Places of the wrong answers, the worst first."""

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """`label` and `answer` of one sample as text, and `sure`, a probability, where there is one."""
