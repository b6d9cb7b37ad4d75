"""After the last stage: the whole search handed to the trackers that follow it, each once.

What they get: every option, the seconds of every stage, the trials of the front, the course of every final
training, the figures of the chosen network, and the files worth keeping.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hwnas.pipeline.search_history.trackers import Tracker, open_trackers
from hwnas.runs.front_file import BEST, FRONT_CSV, FRONT_JSON

from .run_context import RunContext
from .training import finalists, read_finals

RECORD = "trackers"
"""Says which trackers have the run."""

_FILES = (FRONT_CSV, FRONT_JSON, "report.html", f"models/{BEST}/model.onnx", "export/manifest.json")


def hand_over(context: RunContext) -> None:
    """Everything to each tracker that has not got it; one that fails costs a warning."""
    known = (context.run.stage_done(RECORD) or {}).get("names", [])
    names = [name for name in dict.fromkeys(context.config.trackers) if name not in known]
    for name in names:
        try:
            (tracker,) = open_trackers([name], context.path, context.path.name, {})
            try:
                _hand_over(context, tracker)
            finally:
                tracker.close()
        except Exception as error:  # of a tool that is not ours, after all is done
            context.run.log.warn(f"tracker {name} did not take the run: {type(error).__name__}: {error}")
            continue
        known = [*known, name]
        context.run.finish_stage(RECORD, {"names": known})


def _hand_over(context: RunContext, tracker: Tracker) -> None:
    chosen = context.result("evaluation")["chosen"]
    for series in (_front(context), _trainings(context)):
        for step, values in series:
            tracker.epoch(step, values)
    final = {f"stage_s/{name}": seconds for name, seconds in context.clock.stages.items()}
    for point in context.result("evaluation")["models"]:
        figures = {**point["predicted"], **(point["measured"] or {})}
        of_network = _numbers(figures)
        final |= {f"network/{point['arch_id']}/{name}": value for name, value in of_network.items()}
        if point["arch_id"] == chosen:
            final |= {f"chosen/{name}": value for name, value in of_network.items()}
    options = {name: str(value) for name, value in context.config.to_json().items() if value is not None}
    tracker.result({**options, "chosen": chosen}, final)
    for file in _FILES:
        if (context.path / file).is_file():
            tracker.artefact(context.path / file, str(Path(file).parent))


def _front(context: RunContext) -> Iterator[tuple[int, Mapping[str, float]]]:
    """The trials in their order."""
    for number, row in enumerate(context.result("front")["rows"], 1):
        yield number, {f"front/{name}": value for name, value in _numbers(row).items()}


def _trainings(context: RunContext) -> Iterator[tuple[int, Mapping[str, float]]]:
    for network in finalists(context):
        finals = read_finals(context, network, context.config.seed)
        epochs = itertools.chain.from_iterable(trained.epochs for trained in finals)
        for number, epoch in enumerate(epochs, 1):
            values = {"train_loss": epoch.train_loss, "train_accuracy": epoch.train_accuracy}
            yield number, {f"training/{network.arch_id}/{k}": v for k, v in values.items()}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(v) for k, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
