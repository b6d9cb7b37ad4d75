"""A search that goes on with data that grew: what its networks were worth before, on the same test images.

The file that the finished search measured and shipped is tested with its own normalisation, on all test
images of now, on those that the finished search knew, and on those that are new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.growth import ADDED
from hwnas.exporting.export import open_model
from hwnas.exporting.int8 import int8_path
from hwnas.exporting.onnx_score import OnnxScore, onnx_accuracy
from hwnas.pipeline.grown_data import splits_of
from hwnas.pipeline.teachers import require_teacher
from hwnas.runs.front_file import FrontPoint
from targets.errors import UsageError
from targets.files import read_json, write_json

from .run_context import RunContext

_PARTS = ("test_accuracy", "test_accuracy_added", "test_accuracy_kept")


def grows(context: RunContext) -> bool:
    """Whether the run goes on with data that grew."""
    return context.config.grown_data is not None


def extend_splits(context: RunContext, splits: Mapping[str, Any]) -> dict[str, Any]:
    """Write splits.json; returns the result of that stage. splits: that of the finished search.

    UsageError where the data are no continuation of it, or the teacher is none for them.
    """
    document, counts = splits_of(context.config, context.run.log, context.run.progress)
    write_json(context.path / "splits.json", document)
    data = context.data
    differing = [key for key, value in data.network_shape.items() if splits.get(key, value) != value]
    if differing:
        raise UsageError(
            f"{data.name}: {differing[0]} is {data.network_shape[differing[0]]!r}, and the networks of the "
            f"earlier run are made for {splits[differing[0]]!r}; search anew"
        )
    require_teacher(context.config, data)
    sizes = {name: len(data.split(name)) for name in ("train", "val", "test")}
    return {"name": data.name, **sizes, **data.network_shape, "growth": asdict(counts)}


def scores_before(context: RunContext, old: Path, arch_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By network, what its file in the finished search `old` reaches on the images of now."""
    scores = {}
    with context.run.progress("the earlier files on the new images", len(arch_ids)) as bar:
        for arch_id in arch_ids:
            model = open_model(old / "models" / arch_id)
            mean, std = (tuple(model.manifest[key]) for key in ("mean", "std"))
            data, file = replace(context.data, mean=mean, std=std), int8_path(model) or model.onnx
            validation = onnx_accuracy(file, data, "val").accuracy
            test = onnx_accuracy(file, data, "test")
            scores[arch_id] = {
                "val_accuracy": validation,
                "test_accuracy": test.accuracy,
                **test_parts(context, test),
            }
            bar.advance(1, arch_id)
    return scores


def test_parts(context: RunContext, test: OnnxScore) -> dict[str, float]:
    """The score on the test images that are new, and on the others; nothing where the data did not grow."""
    if not grows(context):
        return {}
    splits = read_json(context.path / "splits.json", "the splits of the run")
    added = set(splits[ADDED])
    new = np.array([name in added for name in splits["test"]])
    parts = {"added": new, "kept": ~new}
    return {
        f"test_accuracy_{name}": test.task.score(test.logits[part], test.labels[part])
        for name, part in parts.items()
        if part.any()
    }


def growth_facts(
    context: RunContext, before: Mapping[str, Mapping[str, Any]], points: Sequence[FrontPoint]
) -> dict[str, Any]:
    """What front.json says of it: the images, and every network before and after."""
    splits = read_json(context.path / "splits.json", "the splits of the run")
    added = len(set(splits[ADDED]) & set(splits["test"]))
    networks = {
        point.arch_id: {
            "before": {name: before[point.arch_id].get(name) for name in _PARTS},
            "after": {name: (point.measured or {}).get(name) for name in _PARTS},
        }
        for point in points
        if point.is_trained and point.arch_id in before
    }
    return {
        **context.result("splits")["growth"],
        "test_images": {"added": added, "kept": len(splits["test"]) - added},
        "networks": networks,
    }
