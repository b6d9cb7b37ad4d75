"""The next symbol of a text: cross-entropy; the objective is the share of the unigram's bits that are saved.

A sample is a piece of the text; its labels (n, t) are the symbols that follow its last t ones. Of what a
network answers only the log-probabilities of these are kept, (n, t): all scores at each place are too many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import HwnasError, UsageError

from .plain import PlainTask
from .task import Answers, LabelArray, Labels, LabelTable, Metric, Readable, Task

if TYPE_CHECKING:
    from torch import Tensor

_UNLIKE = 0.01
"""Natural logarithms by which two networks differ where they tell a user different things."""

_RECIPE: Mapping[str, Any] = {"lr": 2.0, "clip": 1.0, "weight_decay": 0.0, "label_smoothing": 0.0}


@dataclass(frozen=True)
class Language(PlainTask):
    """What is known of a text.

    kind: what its symbols are, a word of `--tokens`.
    characters_per_symbol: of the text, 1 where the symbols are characters.
    n_symbols: kinds of symbols.
    log_shares: natural logarithm of the share of each symbol in the training text; empty until `fitted`.
    """

    kind: str = "characters"
    characters_per_symbol: float = 1.0
    n_symbols: int = 0
    log_shares: tuple[float, ...] = ()

    name = "language"
    does = "the next character or word of a text"
    metric = Metric("saved", "bits saved")
    readable = Readable(
        "next",
        0.0,
        None,
        "continue",
        "Continuer",
        "a model of a text",
        "symbol",
        "what follows",
    )
    texts = True
    mirror = False
    many_columns = False
    pixel_models = ()
    recipe = _RECIPE

    def read(self, table: LabelTable) -> Labels:
        """UsageError: the labels of a text are the text."""
        raise UsageError(
            f"{table.source}: the task {self.name} reads a text (--data book.txt), no samples with labels"
        )

    def check(
        self, source: str, names: Sequence[str], labels: LabelArray, trained: NDArray[np.bool_]
    ) -> None:
        """At least two different symbols in the training text."""
        if len(np.unique(labels[trained])) < 2:
            raise UsageError(
                f"{source}: its training part has {len(names)} kind(s) of symbols, so there is nothing to "
                "learn; give another text"
            )

    def strata(self, names: Sequence[str], labels: LabelArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """One part: a text is cut where it is, not drawn from."""
        return ("all",), np.zeros(len(labels), np.int64)

    def members(self, names: Sequence[str], labels: LabelArray) -> list[tuple[str, NDArray[np.bool_]]]:
        """All pieces."""
        return [("pieces", np.ones(len(labels), np.bool_))]

    def fitted(self, labels: LabelArray) -> Task:
        """With the shares of the symbols in the training text, each counted once more than it is there."""
        counts = np.bincount(labels.ravel(), minlength=self.n_symbols) + 1
        return replace(self, log_shares=tuple(np.log(counts / counts.sum()).tolist()))

    def loss(
        self, outputs: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "mean"
    ) -> Tensor:
        """Cross-entropy of the last symbols, natural logarithms. outputs: (n, l, k), or (n, t) as `kept`."""
        from torch.nn import functional

        if outputs.ndim == 2:
            return -(outputs.sum() if reduction == "sum" else outputs.mean())
        last = outputs[:, outputs.shape[1] - labels.shape[1] :]
        return functional.cross_entropy(
            last.reshape(-1, last.shape[2]),
            labels.reshape(-1),
            label_smoothing=smoothing,
            reduction=reduction,
        )

    def right(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The share of the unigram's bits that are saved, times the pieces; 0 where there is none."""
        unigram = -float(np.mean(self._log_unigram(labels.cpu().numpy())))
        return (1 - self.loss(outputs, labels) / unigram).clamp(min=0) * len(labels)

    def kept(self, outputs: Answers, labels: LabelArray) -> Answers:
        """(n, t): log-probabilities of the true symbols."""
        last = outputs[:, outputs.shape[1] - labels.shape[1] :].astype(np.float64)
        last -= last.max(axis=2, keepdims=True)
        true = np.take_along_axis(last, labels[..., None], axis=2)[..., 0]
        kept: Answers = (true - np.log(np.exp(last).sum(axis=2))).astype(np.float32)
        return kept

    def metrics(self, answers: Answers, labels: LabelArray) -> dict[str, float]:
        """Share of bits saved, perplexity, bits per symbol and per character."""
        nats, unigram = -float(answers.mean(dtype=np.float64)), -float(np.mean(self._log_unigram(labels)))
        bits = nats / math.log(2)
        return {
            "saved": 1 - nats / unigram,
            "perplexity": math.exp(min(nats, 700.0)),
            "bits": bits,
            "bits_per_character": bits / self.characters_per_symbol,
        }

    def unlike(self, answers: Answers, others: Answers) -> NDArray[np.bool_]:
        """Pieces of which a symbol has another probability, by more than 1 %."""
        far: NDArray[np.bool_] = (np.abs(answers - others) > _UNLIKE).any(axis=1)
        return far

    def margin(self, answers: Answers, labels: LabelArray) -> NDArray[np.float64]:
        """The likeliest piece is the best."""
        margin: NDArray[np.float64] = np.exp(answers.mean(axis=1, dtype=np.float64))
        return margin

    def outputs_in_words(self, n: int) -> str:
        """Kinds of characters or words."""
        return f"{n} kinds of {self.kind}"

    def golden(self, names: Sequence[str], label: Any) -> dict[str, Any]:
        """The symbols that follow."""
        return {"follow": [names[i] for i in np.atleast_1d(label).tolist()]}

    def trivial(self, trained: LabelArray, tested: LabelArray) -> tuple[str, float]:
        """The frequencies of the symbols, without what stands before."""
        return "the frequencies of the symbols alone", 0.0

    def quality(
        self, answers: Answers, labels: LabelArray, names: Sequence[str], *, probabilities: bool
    ) -> dict[str, Any]:
        """The metrics, those of the frequencies alone, and the bits of each symbol, frequent ones first."""
        counts = np.bincount(labels.ravel(), minlength=len(names))
        lost = np.bincount(labels.ravel(), -answers.ravel().astype(np.float64), minlength=len(names))
        order = [i for i in np.argsort(-counts, kind="stable").tolist() if counts[i]]
        unigram = -float(np.mean(self._log_unigram(labels)))
        return {
            **self.metrics(answers, labels),
            "symbols": self.kind,
            "unigram_perplexity": math.exp(unigram),
            "by_symbol": [
                {
                    "symbol": names[i],
                    "times": int(counts[i]),
                    "bits": float(lost[i] / counts[i] / math.log(2)),
                    "unigram_bits": -self.log_shares[i] / math.log(2),
                }
                for i in order
            ],
        }

    def card(self, quality: Mapping[str, Any]) -> tuple[Sequence[str], list[tuple[str, ...]], list[str]]:
        """Bits of each symbol, and the perplexity in words."""
        rows: list[tuple[str, ...]] = [
            (shown(r["symbol"]), str(r["times"]), f"{r['bits']:.2f}", f"{r['unigram_bits']:.2f}")
            for r in quality["by_symbol"]
        ]
        words = quality["symbols"] == "words"
        each = f", {quality['bits_per_character']:.3f} for each character" if words else ""
        sentences = [
            f"Perplexity {quality['perplexity']:.3f}: it is as unsure as among so many {quality['symbols']} "
            f"that are equally likely. The frequencies alone have {quality['unigram_perplexity']:.3f}.",
            f"That is {quality['bits']:.3f} bits for each of the {quality['symbols']}{each}, and saves "
            f"{100 * quality['saved']:.1f} % of the bits of the frequencies.",
        ]
        return ("symbol", "times", "bits", "bits by its frequency"), rows, sentences

    def mistakes(self, answers: Answers, labels: LabelArray, names: Sequence[str]) -> dict[str, Any]:
        """Bits of the symbols that cost most of them in all."""
        quality = self.quality(answers, labels, names, probabilities=False)
        dearest = sorted(quality["by_symbol"], key=lambda r: -r["times"] * r["bits"])[:30]
        rows = [
            [shown(r["symbol"]), f"{r['times']:,}", f"{r['bits']:.2f}", f"{r['unigram_bits']:.2f}"]
            for r in dearest
        ]
        return {
            "table": {"head": ["Symbol", "Times", "Bits each", "Bits by its frequency"], "rows": rows},
            "n": len(labels),
        }

    def worst(self, answers: Answers, labels: LabelArray) -> NDArray[np.int64]:
        """The least likely pieces first."""
        return np.argsort(answers.mean(axis=1), kind="stable").astype(np.int64)

    def told(self, answer: Answers, label: Any, names: Sequence[str]) -> dict[str, Any]:
        """The symbols, and their perplexity."""
        between = "" if self.kind == "characters" else " "
        text = between.join(names[i] for i in np.atleast_1d(label).tolist())
        return {"label": text, "answer": f"perplexity {math.exp(-float(answer.mean())):.3g}"}

    def _log_unigram(self, labels: LabelArray) -> NDArray[np.float64]:
        if not self.log_shares:
            raise HwnasError("the task has not seen the frequencies of its training text")
        return np.asarray(self.log_shares)[labels]


def shown(symbol: str) -> str:
    """A symbol as a reader sees it: blanks have names."""
    return {" ": "(blank)", "\n": "(new line)", "\t": "(tab)"}.get(symbol, symbol)


LANGUAGE: Task = Language()
