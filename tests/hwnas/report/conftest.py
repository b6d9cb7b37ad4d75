"""A run directory as a finished run leaves it, with made-up numbers of a realistic size."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

OPTIONS = ["mb3e3", "mb3e6", "mb5e3", "mb5e6-se", "mb7e6-se-hs", "fused3e3", "skip"]
LAYERS = [f"stage{s}.layer{b}" for s in range(1, 5) for b in range(3)]
TARGET = {
    "name": "host",
    "provider": "cpu",
    "threads": 1,
    "graph_level": "all",
    "precision": "fp32",
    "spinning": False,
    "context_hash": "3f9ac2d17b5e",
    "facts": {
        "cpu_model": "Intel Xeon Platinum 8375C @ 2.90GHz",
        "ort_version": "1.31.0",
        "machine": "x86_64",
    },
}
ERRORS = {
    "mape_pct": 1.734,
    "within_5_pct": 95.83,
    "within_10_pct": 100.0,
    "spearman": 0.9913,
    "noise_floor_pct": 0.82,
    "macs_line_mape_pct": 14.62,
    "macs_line_within_5_pct": 20.83,
    "macs_line_within_10_pct": 41.67,
    "macs_line_spearman": 0.8713,
    "predictor_mape_pct": 4.417,
}
PICKS = [
    ("fastest", 0.612, 0.9611, 0.9583),
    ("knee", 1.043, 0.9778, 0.9750),
    ("gradient", 1.482, 0.9806, 0.9778),
    ("accurate", 2.317, 0.9861, 0.9833),
]


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
"""A picture of one pixel."""

MEASURED = ("latency_p50_ms", "latency_ci_low_ms", "latency_ci_high_ms", "clock", "flag")


def block(name: str, kind: str, kernel: int | None, **more: Any) -> dict[str, Any]:
    """A block of `describe`."""
    usual = {"expand": None, "se": False, "act": "relu", "in": [16, 16, 16], "out": [16, 16, 16], "stride": 1}
    return {"name": name, "kind": kind, "kernel": kernel, **usual, **more}


def network(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Stem, four stages of three layers, head; 32 x 32 input."""
    rows = [block("stem", "stem", 3, act="hs", out=[16, 16, 16], stride=2, **{"in": [3, 32, 32]})]
    channels, size = 16, 16
    for layer, name in enumerate(LAYERS):
        first = layer % 3 == 0 and layer > 0
        out, smaller = (channels + 16, size // 2) if first and size > 4 else (channels, size)
        skip = not first and rng.random() < 0.25
        rows.append(
            block(
                name,
                "skip" if skip else "fused" if layer < 2 else "mb",
                None if skip else int(rng.choice([3, 5, 7])),
                expand=None if skip else int(rng.choice([3, 6])),
                se=not skip and bool(rng.random() < 0.4),
                act="" if skip else str(rng.choice(["relu", "hs"])),
                out=[out, smaller, smaller],
                stride=size // smaller,
                **{"in": [channels, size, size]},
            )
        )
        channels, size = out, smaller
    return [
        *rows,
        block("head", "head", 1, act="hs", out=[10, 1, 1], **{"in": [channels, size, size]}),
    ]


def point(
    origin: str, pick: str | None, p50_ms: float, val: float, test: float | None, n: int
) -> dict[str, Any]:
    """A row of `points`, measured when `test` is given."""
    measured = {
        "latency_p50_ms": p50_ms,
        "latency_ci_low_ms": p50_ms * 0.991,
        "latency_ci_high_ms": p50_ms * 1.013,
        "clock": "wall",
        "flag": "",
        "val_accuracy": val,
        "test_accuracy": test,
        "size_mb": 0.3 + 0.5 * p50_ms,
        "label_disagreements": 0,
        "test_images": 360,
    }
    if test is None:  # measured on the device, never trained
        measured = {key: measured[key] for key in MEASURED}
    return {
        "arch_id": f"{origin}-{pick or 'none'}-{n}",
        "arch": "mobile:" + "-".join(OPTIONS[(n + i) % len(OPTIONS)] for i in range(12)),
        "origin": origin,
        "pick": pick,
        "reason": f"Why it is the {pick} one." if pick else None,
        "predicted": {
            "latency_ms": p50_ms * (1.02 if n % 2 else 0.985),
            "macs": int(2.1e6 * p50_ms),
            "params": int(91_234 * (1 + p50_ms)),
            "size_mb": 0.29 + 0.5 * p50_ms,
            "peak_memory_mb": 0.131 + 0.1 * p50_ms,
            "val_accuracy_search": None if origin == "mobilenet_v3" else val - 0.11 - 0.01 * (n % 3),
        },
        "measured": measured,
        "feasible": True,
    }


def front() -> dict[str, Any]:
    """front.json of a finished run."""
    rng = np.random.default_rng(7)
    points = [point("pick", p, ms, val, test, i) for i, (p, ms, val, test) in enumerate(PICKS)]
    points += [point("front", None, 0.5 + 0.2 * i, 0.93 + 0.006 * i, None, 10 + i) for i in range(9)]
    points += [
        point("random", None, 0.9 + 0.6 * i, 0.955 + 0.008 * i, 0.951 + 0.009 * i, i) for i in range(3)
    ]
    points += [
        point("mobilenet_v3", None, 0.8 + 0.55 * i, 0.94 + 0.01 * i, 0.938 + 0.01 * i, i) for i in range(3)
    ]
    late = point("random", None, 3.4, 0.985, 0.981, 77)
    for row in points[:4]:
        row["blocks"] = network(rng)
    latency = np.exp(rng.uniform(np.log(0.4), np.log(4), 400))
    accuracy = 0.9 - 0.12 / latency**0.5 - rng.exponential(0.04, 400)
    check = np.exp(rng.uniform(np.log(0.5), np.log(4), 24))
    return {
        "target": TARGET,
        "budgets": [{"metric": "latency_ms", "limit": 2.5}, {"metric": "size_mb", "limit": 4.0}],
        "objectives": ["val_accuracy_search", "latency_ms", "macs", "peak_memory_mb"],
        "points": [*points, late | {"feasible": False}],
        "hypervolume": [
            {"generation": g, "value": 1.9 - 0.8 * 0.8**g, "evaluated": 40 * (g + 1)} for g in range(12)
        ],
        "proxies": {
            "n": 12,
            "left_out": ["naswot"],
            "log_synflow": None,
            "zico": 0.52,
            "params": 0.47,
            "macs": 0.4,
        },
        "rank_correlation": {"search_vs_trained": 0.714, "params_vs_trained": 0.433, "n": 10},
        "svc_test_accuracy": 0.9722,
        "linear_test_accuracy": 0.9528,
        "chosen": "pick-accurate-3",
        "table": ERRORS | {
            "check": [
                {"key": f"net{i}", "predicted_ms": ms, "measured_ms": ms * (1 + rng.normal(0, 0.02))}
                for i, ms in enumerate(check.tolist())
            ]
        },
        "evaluated": [
            {"arch_id": f"a{i}", "val_accuracy_search": a, "latency_ms": ms, "generation": i // 40,
             "feasible": ms <= 2.5}
            for i, (ms, a) in enumerate(zip(latency.tolist(), accuracy.tolist(), strict=True))
        ],
        "option_cost": [
            {"layer": layer, "option": option, "latency_ms": (0.2 * o + 0.03) / (1 + n // 3),
             "chosen_share": [0.3, 0.1, 0.25, 0.15, 0.05, 0.1, 0.05][(o + n) % 7]}
            for n, layer in enumerate(LAYERS) for o, option in enumerate(OPTIONS)
        ],
    }  # fmt: skip


def stats() -> list[dict[str, Any]]:
    """train_stats.csv: single paths, then the gradient search."""
    rows: list[dict[str, Any]] = []
    for e in range(20):
        losses = {"train_loss": 2.3 * 0.82**e, "val_loss": 2.4 * 0.84**e}
        rates = {"train_accuracy": 1 - 0.88 * 0.85**e, "val_accuracy": 0.97 - 0.85 * 0.85**e}
        rows.append({"stage": "warmup", "epoch": e, "step": 20 * e, "seconds": 2.1, **losses, **rates})
    for e in range(15):
        losses = {"train_loss": 0.3 * 0.95**e, "val_loss": 0.34 * 0.96**e, "entropy": 1.9 * 0.9**e}
        rates = {"train_accuracy": 0.92 + 0.002 * e, "val_accuracy": 0.9 + 0.002 * e, "multiplier": 0.1 * e}
        rates["expected_latency_ms"] = 2.4 + 2 * 0.8**e
        rows.append({"stage": "search", "epoch": e, "step": 10 * e, "seconds": 1.4, **losses, **rates})
    return rows


COLUMNS = ["stage", "epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
COLUMNS += ["expected_latency_ms", "entropy", "multiplier", "seconds"]


def write_run(path: Path, document: dict[str, Any] | None = None) -> Path:
    """Writes the files of a run into `path`; `document` replaces front.json."""
    document = front() if document is None else document
    (path / "stages").mkdir(parents=True, exist_ok=True)
    (path / "front.json").write_text(json.dumps(document))
    (path / "front.csv").write_text("arch_id\n")
    with (path / "train_stats.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(stats())
    ramp = np.linspace(0, 2, 15)[:, None] * np.arange(len(OPTIONS))[None]
    alphas: dict[str, Any] = {layer: np.roll(ramp, n, axis=1) for n, layer in enumerate(LAYERS)}
    np.savez(path / "alphas.npz", **alphas, stage1=np.zeros((15, 2)))
    config = {
        "data": "digits",
        "targets": ["host"],
        "budgets": ["latency_ms<=2.5", "size_mb<=4"],
        "seed": 3,
    }
    (path / "config.resolved.json").write_text(json.dumps({"schema": 1, "config": config}))
    versions = {"python": "3.11.9", "onnxruntime": "1.31.0", "torch": "2.15.0"}
    environment = {
        "created": "2026-11-21T23:10:00+00:00",
        "seed": 3,
        "versions": versions,
        "cpu": {"model": "Xeon"},
    }
    (path / "env.json").write_text(json.dumps(environment))
    for number, pick in enumerate(PICKS):
        folder = path / "models" / f"pick-{pick[0]}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {
            "input_name": "image",
            "input_shape": [1, 1, 32, 32],
            "colour_order": "grey",
            "mean": [0.3],
            "std": [0.4],
            "class_names": [str(n) for n in range(10)],
            "latency": {"measured": "2026-11-22T05:20:00+00:00"},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture
def document() -> dict[str, Any]:
    """front.json of a finished run, to be changed by a test."""
    return front()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that no test changes."""
    return write_run(tmp_path_factory.mktemp("runs") / "digits-host-1")


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """A finished run."""
    return write_run(tmp_path / "digits-host-1")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """A finished run with that front.json."""
    return lambda document: write_run(tmp_path / "other", document)


@pytest.fixture
def mistakes() -> dict[str, Any]:
    """mistakes.json of a finished run."""
    return {
        "arch_id": "pick-accurate-3",
        "classes": [{"name": str(c), "n": 36, "right": 36 - (c % 3)} for c in range(10)],
        "confusions": [
            {"label": "2", "answer": "7", "n": 2}, {"label": "5", "answer": "3", "n": 2},
            {"label": "1", "answer": "7", "n": 1},
        ],
        "pictures": [{"label": "2", "answer": "7", "sure": 0.93, "png": PNG}],
    }  # fmt: skip
