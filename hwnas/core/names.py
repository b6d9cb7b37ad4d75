"""The names that options take, known without what they stand for: a wrong one is refused before torch comes.

A test compares each row with its table. What a program adds to a table counts too, once the table is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from targets.errors import UsageError, did_you_mean
from targets.files import user_path

from .budget import COSTS, base_metric


def _is_toml(text: str) -> bool:
    return text.endswith(".toml")


def _is_toml_or_table(text: str) -> bool:
    return _is_toml(text) or text.startswith("table:")


def _is_score(text: str) -> bool:
    return text.startswith("val_")


def _exists(text: str) -> bool:
    try:
        return bool(text.strip()) and user_path(text).exists()  # an empty text is no path
    except (OSError, ValueError):  # too long, a zero byte
        return False


def _nothing(text: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """One kind of thing that is chosen by name.

    kind: in a message. known: the names. table: where the things are, as module:attribute.
    accepts: what else may stand there; also: that in words. read: how a name is spelt in the table.
    wrong: the complaint.
    """

    kind: str
    known: tuple[str, ...]
    table: str
    accepts: Callable[[str], bool] = _nothing
    also: str = ""
    read: Callable[[str], str] = str
    wrong: str = "unknown {kind} {text!r}"

    def all(self) -> tuple[str, ...]:
        """The known names, and those of the table where it is loaded."""
        module, _, attribute = self.table.partition(":")
        loaded = getattr(sys.modules.get(module), attribute, ())
        return tuple(dict.fromkeys([*self.known, *loaded]))

    def fault(self, text: str) -> str | None:
        """Why this is no name of the kind; None where it is one."""
        if self.read(text) in self.all() or self.accepts(text):
            return None
        complaint = self.wrong.format(kind=self.kind, text=text)
        return f"{complaint}; {did_you_mean(self.read(text), self.all())}{self.also}"


def require_name(kind: str, text: str) -> None:
    """UsageError for a name of that kind that there is not."""
    if fault := NAMES[kind].fault(text):
        raise UsageError(fault)


def _space(text: str) -> str:
    """`darts_space` and `enas_macro` are read too, as from Python."""
    return text.removesuffix("_space").replace("_", "-")


_METHODS = """
    beta-darts dadarts dadarts-dal-on-alphas dadarts-hd-on-weights dadarts-topk-on-alphas
    dadarts-topk-on-weights darts darts-2 darts-2-exact darts-2-fast darts-2-reuse darts-minus darts-pt
    drnas elastic enas enas-macro enas-prior fair-darts fbnet gdas hyperdarts modnas ofa oles p-darts
    pc-darts proxyless proxyless-full proxyless-rl robust-darts smooth-darts-adv smooth-darts-rs snas
"""
_DATA = """
    calls cifar10 cifar100 digits fashion-mnist gauges gestures markov mnist scenes shape-boxes
    shape-masks shapes tilted
"""
_STRATEGIES = """
    bananas bo evolution gp local-search nsga2 nsga3 pnas random successive-halving tpe
"""
_TOML = ", or a TOML file"

NAMES: Mapping[str, Names] = {
    row.kind: row
    for row in (
        Names(
            kind="space",
            known=("darts", "enas-macro", "mobile", "nasbench201", "pnas", "proxyless", "recurrent"),
            table="hwnas.spaces:SPACES",
            accepts=_is_toml_or_table,
            also=_TOML,
            read=_space,
        ),
        Names(
            kind="method",
            known=tuple(_METHODS.split()),
            table="hwnas.gradient.methods:METHODS",
            accepts=_is_toml,
            also=_TOML,
        ),
        Names(
            kind="strategy",
            known=tuple(_STRATEGIES.split()),
            table="hwnas.front.strategy:STRATEGIES",
        ),
        Names(
            kind="data",
            known=tuple(_DATA.split()),
            table="hwnas.data.source:NAMED",
            accepts=_exists,
            wrong="data {text!r} is neither a known data set nor an existing path",
            also="; or give the path of an image folder, a zip of one, a .csv of file names and labels, "
            "a folder of .wav, or windows of sensors as .npz or .csv",
        ),
        Names(
            kind="evaluator",
            known=("short-training", "shared-weights"),
            table="hwnas.pipeline.counts:EVALUATORS",
        ),
        Names(
            kind="tracker",
            known=("tensorboard", "mlflow"),
            table="hwnas.pipeline.search_history.trackers:TRACKERS",
        ),
        Names(
            kind="objective",
            known=("val_accuracy", "val_top5_accuracy", "val_loss", *COSTS),
            table="hwnas.front.objectives:OBJECTIVES",
            accepts=_is_score,
            also="; the score of another task by its own name, as val_r2",
            read=base_metric,
        ),
        Names(
            kind="task",
            known=("classification", "detection", "language", "multi-label", "regression", "segmentation"),
            table="hwnas.tasks.table:TASKS",
            accepts=lambda text: ":" in text,  # `hwnas.tasks.several_named` says what is wrong with it
            also="; or several at once, as classification:digit+regression:tilt",
        ),
    )
}
"""By kind."""
