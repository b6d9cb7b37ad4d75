"""The rows of one context of the machine: networks to profile with and networks to judge, in one job."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lut.devices.device import int8_form, run_rows
from lut.predictor import profile
from lut.predictor.generate import generate
from lut.predictor.kernels import labels
from lut.predictor.models.quantise import quantised
from targets import Target, load_target
from targets.errors import HwnasError

TARGETS = {"fp32": "host", "int8": "host-int8", "threads": "host-2-threads"}


def log(text: str) -> None:
    """To stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def interleaved(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> dict[str, bytes]:
    """The two lists as one, spread evenly."""
    places = [(i / len(part), key) for part in (first, second) for i, key in enumerate(part)]
    both = {**first, **second}
    return {key: both[key] for _, key in sorted(places)}


def in_precision(models: Mapping[str, bytes], target: Target) -> dict[str, bytes]:
    """The models in the precision of the target; those that cannot be quantised are left out, and logged."""
    if target.precision != "int8":
        return dict(models)
    out = {}
    for key, data in models.items():
        try:
            out[key] = quantised(data, int8_form(target))
        except HwnasError as error:
            log(f"left out: {key}: {error}")
    return out


class Context:
    """One context of the machine: its rows, and what follows from them."""

    def __init__(self, part: str, judged: Mapping[str, bytes], options: argparse.Namespace) -> None:
        """Measure, or read the rows of an earlier run."""
        self.target = load_target(TARGETS[part])
        made = {one.key: one.onnx() for one in generate(options.networks, options.seed)}
        self.made = in_precision(made, self.target)
        self.judged = in_precision(judged, self.target)
        models = interleaved(self.made, self.judged)
        timing = replace(profile.timing(1.0, options.seed), seconds=3600.0)
        folder = options.out / f"{part}-{len(self.made)}-{len(self.judged)}"
        self.rows = run_rows(
            self.target, models, timing, log, kinds=dict.fromkeys(models, ("time", "kernels")), folder=folder
        )
        found = labels.labelled(self.rows)
        self.generated = [found[key] for key in self.made if key in found]
        self.zoo = [found[key] for key in self.judged if key in found]

    @property
    def truth(self) -> np.ndarray[Any, Any]:
        """(n,) measured milliseconds of the networks to judge."""
        return np.array([network.latency_ms for network in self.zoo])

    @property
    def floor_pct(self) -> float:
        """Mean difference of the halves of the samples of the networks to judge."""
        return float(100 * np.mean([network.half_split for network in self.zoo]))

    @property
    def clock(self) -> str:
        """`cpu` or `wall`: which the latencies are of."""
        return str(next(row["clock"] for row in self.rows if row["kind"] == "time"))

    @property
    def minutes(self) -> float:
        """Device minutes of the profile's own networks, as their rows tell."""
        return sum(spent_s(row) for row in self.rows if row["key"] in self.made) / 60


def spent_s(row: Mapping[str, Any]) -> float:
    """Seconds that a row cost: loading, warming up, and per sample one run and then `inner` that are timed.

    Reconstructed from the times in the row: a run that nobody timed counts as the mean of those timed.
    """
    wall_s = np.array(row["wall_ms"]) / 1e3
    warm = 4 + (6 if row["inner"] > 1 else 0)
    return float(row["load_s"] + wall_s.sum() * (1 + row["inner"]) + warm * wall_s.mean())
