"""The devices of a run: their tables, what is measured on them, and what stands in where none is at hand.

The latency on the first device is `latency_ms`, that on each other `latency_ms@NAME`. On a device that cannot
be reached every latency is that of its table, with the table's margin as interval, and says so: its clock is
`predicted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import lut
from hwnas.core.budget import LATENCY, Budget
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.runs.device_rows import all_of, on_devices
from hwnas.runs.front_file import latency_columns
from hwnas.runs.log import Log
from lut.devices.device import device_context, int8_form
from lut.predictor.models.quantise import as_run
from targets import Target
from targets.errors import DamagedFileError
from targets.int8_form import Int8Form, default_form

PREDICTED = "predicted"
"""Clock and flag of a latency that a table gave."""

OTHERS = "others"
"""Where table.json has the tables of all devices but the first, by name."""

Measured = Mapping[str, Mapping[str, Any]]
"""The fields of a `lut.Measurement` by the metric of the device."""


@dataclass(frozen=True, slots=True)
class RunTable:
    """The latencies that the run works with: a snapshot, so that a later profile cannot change them."""

    intercept_ms: float
    blocks_ms: Mapping[str, float]
    square_ms_per_mb2: float
    weights_mb: Mapping[str, float]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunTable:
        """Of a snapshot in table.json."""
        return cls(**{field.name: document[field.name] for field in fields(cls)})

    def latency_ms(self, key: str) -> float:
        """Calibrated milliseconds of a block; DamagedFileError where the snapshot lacks it."""
        return _of_block(self.blocks_ms, key)

    def weight_mb(self, key: str) -> float:
        """10^6 bytes of weights of a block; DamagedFileError where the snapshot lacks it."""
        return _of_block(self.weights_mb, key)


def _of_block(values: Mapping[str, float], key: str) -> float:
    if key not in values:
        raise DamagedFileError(
            f"the latency table of the run (table.json) has no block {key!r}; restore it, or search again"
        )
    return values[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDevice:
    """One device of a run.

    name: as metrics call it. metric: of the latency on it.
    target: how to reach it; None where only stored tables of it are known.
    table: its snapshot in table.json, which says whether the device was reached.
    """

    name: str
    metric: str
    target: Target | None
    table: Mapping[str, Any]

    @property
    def reached(self) -> bool:
        """Whether networks are measured on it."""
        return self.target is not None and bool(self.table.get("reached", True))

    @property
    def margin(self) -> float:
        """The 90th percentile of the table's relative error."""
        return float(self.table["margin"])

    @property
    def described(self) -> dict[str, Any]:
        """What a result says about it: name and options, by the target or else by the table's context."""
        if self.target is not None:
            return self.target.described
        facts = self.facts
        options = {k.removeprefix("target_"): v for k, v in facts.items() if k.startswith("target_")}
        return {"name": self.name, **options}

    @property
    def context(self) -> Mapping[str, Any]:
        """Of its table; where the search needed none, of what is measured there now."""
        known: Mapping[str, Any] | None = self.table["context"]
        if known is None and self.target is not None:
            known = device_context(self.target, "").to_json()
        return known or {"hash": None, "facts": {}}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its latencies depend on."""
        facts: Mapping[str, Any] = self.context["facts"]
        return facts

    @property
    def precision(self) -> str:
        """Of the networks that it runs."""
        return str(self.described.get("precision", "fp32"))

    @property
    def form(self) -> Int8Form | None:
        """Of its 8-bit networks, also where it is out of reach; None where it runs others."""
        if self.precision != "int8":
            return None
        if self.target is not None and self.reached:
            return int8_form(self.target)
        if self.target is not None:
            return self.target.int8_form(self.facts)
        return default_form(self.facts, str(self.facts.get("target_provider", "cpu")))

    def to_json(self) -> dict[str, Any]:
        """An entry of `targets` in front.json."""
        return {
            **self.described,
            "metric": self.metric,
            "measured": self.reached,
            "context_hash": self.context["hash"],
            "margin": self.margin,
            "errors": self.table["errors"],
        }


def run_costs(space: NetworkSpace, document: Mapping[str, Any]) -> CostModel:
    """The costs of a space by table.json: the latency on each device where it is known, and the energy."""
    if "blocks_ms" not in document:
        return CostModel(space, None, document.get("energy_mj"))
    others = {name: RunTable.from_json(table) for name, table in document.get(OTHERS, {}).items()}
    return CostModel(space, RunTable.from_json(document), document.get("energy_mj"), others)


def measure(
    devices: Sequence[RunDevice],
    files: Mapping[str, Path | bytes],
    costs: Mapping[str, Mapping[str, float]],
    *,
    home: Path,
    log: Log,
    quantise: bool = True,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Per network and metric the latency: measured on each device that is reached, else predicted.

    files: ONNX files by name of the network.
    costs: predicted, of the networks of the space; others have no latency where it is not measured.
    quantise: measure a float file as an int8 device runs it, else as it is.
    """
    reached = [(device, device.target) for device in devices if device.target is not None and device.reached]

    def measured_on(place: int, told: Log) -> dict[str, lut.Measurement]:
        target = reached[place][1]
        runs = {k: _as_run(file, target) for k, file in files.items()} if quantise else files
        return lut.measure(target, runs, home=home, log=told)

    named = [(device.name, target) for device, target in reached]
    outcomes = on_devices(named, measured_on, log)
    measured = dict(zip((name for name, _ in named), all_of(named, outcomes, _KEPT), strict=True))
    rows: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in files}
    for device in devices:
        for key in files:
            if device.name in measured:
                if key in measured[device.name]:
                    rows[key][device.metric] = asdict(measured[device.name][key])
            elif device.metric in costs.get(key, {}):
                rows[key][device.metric] = asdict(_predicted(costs[key][device.metric], device.margin))
    return rows


_KEPT = "The run goes on with `hwnas search --resume RUN`"


def _as_run(file: Path | bytes, target: Target) -> Path | bytes:
    """A float network as an int8 target runs it; others as they are."""
    if target.precision != "int8":
        return file
    return as_run(file if isinstance(file, bytes) else file.read_bytes(), target)


def _predicted(latency_ms: float, margin: float) -> lut.Measurement:
    return lut.Measurement(
        p20_ms=latency_ms,
        p50_ms=latency_ms,
        p90_ms=latency_ms,
        ci_low_ms=latency_ms / (1 + margin),
        ci_high_ms=latency_ms * (1 + margin),
        clock=PREDICTED,
        flag=PREDICTED,
        n=0,
    )


def with_measured(costs: Mapping[str, float], measured: Measured) -> dict[str, float]:
    """The costs with the latencies as they were measured."""
    return {**costs, **{metric: float(row["p50_ms"]) for metric, row in measured.items()}}


def columns_of(measured: Measured) -> dict[str, Any]:
    """Latencies as a point's `measured` calls them: those of further devices with `@NAME` at their end."""
    columns: dict[str, Any] = {}
    for metric, row in measured.items():
        at = metric.removeprefix(LATENCY)
        columns |= {f"{name}{at}": value for name, value in latency_columns(row).items()}
    return columns


def burden(costs: Mapping[str, float], budgets: Sequence[Budget], devices: Sequence[RunDevice]) -> float:
    """What picks are spread over: milliseconds on one device; on several the worst share of a budget used.

    MACs where no latency is predicted.
    """
    if LATENCY not in costs:
        return float(costs["macs"])
    limits = {b.metric: b.limit for b in budgets if b.metric in {device.metric for device in devices}}
    if len(devices) == 1 or not limits:
        return float(costs[LATENCY])
    return max(float(costs[metric]) / limit for metric, limit in limits.items())


def undecided(measured: Measured, budgets: Sequence[Budget]) -> bool:
    """Whether a measured interval crosses a budget, so that another measurement may decide otherwise."""
    limits = {b.metric: b.largest for b in budgets}
    return any(
        row["ci_low_ms"] <= limits[metric] < row["ci_high_ms"]
        for metric, row in measured.items()
        if metric in limits and row["clock"] != PREDICTED
    )


def pooled(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """One measurement from two, weighted by their samples; intervals add as those of independent means.

    Where the two intervals do not touch, the machine was not the same, and the flag says `unstable`.
    """
    if PREDICTED in (first["clock"], second["clock"]):
        return dict(first)
    n = first["n"] + second["n"]
    weights = (first["n"] / n, second["n"] / n)
    mean = {k: weights[0] * first[k] + weights[1] * second[k] for k in ("p20_ms", "p50_ms", "p90_ms")}
    below, above = (
        sum((w * (row["p50_ms"] - row[k])) ** 2 for w, row in zip(weights, (first, second), strict=True))
        ** 0.5
        for k in ("ci_low_ms", "ci_high_ms")
    )
    apart = first["ci_high_ms"] < second["ci_low_ms"] or second["ci_high_ms"] < first["ci_low_ms"]
    flags = [row["flag"] for row in (first, second) if row["flag"] != "ok"]
    reasons = [row["reason"] for row in (first, second) if row.get("reason")]
    difference = abs(first["p50_ms"] / second["p50_ms"] - 1)
    reasons += [f"two measurements differ by {difference:.0%}"] if apart else []
    return {
        **first,
        **mean,
        "ci_low_ms": mean["p50_ms"] - below,
        "ci_high_ms": mean["p50_ms"] + above,
        "flag": flags[0] if flags else "unstable" if apart else "ok",
        "reason": "; ".join(dict.fromkeys(reasons)),
        "n": n,
    }
