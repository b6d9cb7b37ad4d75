"""Folders of finished searches with made-up figures: nothing is trained and nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.runs.config import SearchConfig
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from lut import SpaceTable
from targets.files import write_json
from tests.support.homes import write_space_table

ARCHS = (
    ["nor_conv_3x3"] * 6,
    ["nor_conv_1x1"] * 6,
    ["skip_connect"] * 6,
    ["avg_pool_3x3"] * 3 + ["nor_conv_3x3"] * 3,
    ["nor_conv_1x1"] * 3 + ["nor_conv_3x3"] * 3,
)
"""Of nasbench201, by the operations of their edges."""


def space() -> NetworkSpace:
    """The cells of NAS-Bench-201 at 32 px."""
    return load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)


def keys() -> list[str]:
    """Of ARCHS in the space."""
    return [space().key(space().from_string(":".join(arch))) for arch in ARCHS]


def write_table(home: Path, device: str, ms_of: Mapping[str, float], exporter: str = "x") -> SpaceTable:
    """A stored table of `device`; ms_of: milliseconds of a block by the beginning of its key, else 0.01."""
    blocks = {}
    for key, block in space().blocks().items():
        ms = next((ms for part, ms in ms_of.items() if part in key), 0.01)
        blocks[key] = (ms, 4.0 * block.params)
    return write_space_table(home, device, {"exporter": exporter}, space().space_id, blocks)


def write_finished(
    path: Path,
    table: SpaceTable,
    accuracies: Sequence[float],
    trained: Mapping[int, tuple[float, float, float]],
    *,
    device: str = "host",
    **changes: Any,
) -> Path:
    """A finished search of ARCHS, or of as many of them as have accuracies.

    accuracies: as the search saw them. trained: number of the architecture -> validation and test accuracy,
    measured ms. changes: of splits.json.
    """
    rows = [
        {"arch": key, "arch_id": space().arch_id(space().from_string(key)), "val_accuracy_search": accuracy}
        for key, accuracy in zip(keys(), accuracies, strict=False)
    ]
    costs = CostModel(space(), table)
    points = []
    for i, (val, test, ms) in trained.items():
        predicted = {m: float(v[0]) for m, v in costs.of([space().from_string(keys()[i])]).items()}
        points.append(
            {
                "arch_id": rows[i]["arch_id"],
                "arch": keys()[i],
                "origin": "front",
                "pick": "knee",
                "predicted": {**predicted, "val_accuracy_search": accuracies[i]},
                "measured": {"latency_p50_ms": ms, "val_accuracy": val, "test_accuracy": test},
                "feasible": True,
            }
        )
    with create_search(path, SearchConfig(space="nasbench201")):
        pass
    known = sorted(space().blocks())
    write_json(
        path / "table.json",
        {
            "intercept_ms": table.intercept_ms,
            "blocks_ms": {key: table.latency_ms(key) for key in known},
            "square_ms_per_mb2": table.square_ms_per_mb2,
            "weights_mb": {key: table.weight_mb(key) for key in known},
        },
    )
    splits = {
        "data": "toy",
        "digest": "d",
        "image_size": 32,
        "train": ["a"],
        "val": ["b"] * 200,
        "test": ["c"],
    }
    write_json(path / "splits.json", {**splits, **changes})
    write_json(
        path / "front.json",
        {
            "target": {"name": device},
            "space": space().spec(),
            "evaluator": "short-training",
            "counts": {"train_epochs": 3},
            "evaluated": rows,
            "points": points,
            "chosen": rows[0]["arch_id"],
        },
    )
    return path
