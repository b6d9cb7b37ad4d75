"""The latency table of the space on each device: reused, topped up or made; or as it was stored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lut
from hwnas.costs.energy import read_energy
from hwnas.pipeline import networks
from hwnas.pipeline.counts import needs_latency
from hwnas.pipeline.latency_tables import TargetDevice, latency_table
from hwnas.pipeline.stages import Outcome
from hwnas.runs.device_rows import all_of, on_devices
from hwnas.runs.log import Log
from targets.files import write_json

from .devices import OTHERS
from .run_context import RunContext

_MOST_BUSY = 2.5


def busyness() -> float:
    """By how much a device that is this machine needs longer, as others compute on it too; 1 to 2.5."""
    return min(_MOST_BUSY, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def make_table(context: RunContext) -> Outcome:
    """Write table.json: what the run will use, whatever happens to the table later."""
    config, space = context.config, context.space
    if not needs_latency(config):
        return _no_table(context)
    file = config.energy_table
    energy = None if file is None else read_energy(Path(file), space.blocks())
    minutes = config.profile_minutes or networks.default_minutes(space) * busyness()
    if config.minutes is not None:
        minutes = min(minutes, 0.2 * config.minutes / len(context.found_devices))
    before = sum(os.times()[:4])
    tables = _tables(context, minutes)
    first, *others = tables
    document = {
        **tables[first],
        OTHERS: {name: tables[name] for name in others},
        "energy_mj": energy,
        "profile_cpu_s": sum(os.times()[:4]) - before,
    }
    write_json(context.path / "table.json", document)
    return Outcome(
        {"context": document["context"]["hash"], "errors": document["errors"], "devices": list(tables)},
        ("table.json",),
    )


def _no_table(context: RunContext) -> Outcome:
    """table.json of a search that goes by other costs: no device is asked before the end."""
    names = [device.name for device in context.found_devices]
    context.run.log(
        f"left out: the latency table, because no objective and no budget is a latency; {', '.join(names)} "
        "measures the trained networks at the end"
    )
    file = context.config.energy_table
    energy = None if file is None else read_energy(Path(file), context.space.blocks())
    nothing: dict[str, Any] = {"context": None, "errors": {}, "margin": 0.0, "reached": True}
    others = {name: nothing for name in names[1:]}
    write_json(
        context.path / "table.json", {**nothing, OTHERS: others, "energy_mj": energy, "profile_cpu_s": 0.0}
    )
    return Outcome({"context": None, "errors": {}, "devices": names}, ("table.json",))


def _tables(context: RunContext, minutes: float) -> dict[str, dict[str, Any]]:
    """The snapshot of the table on each device, made side by side."""
    known = [device for device in context.found_devices if device.target is not None]
    named = [(device.name, device.target) for device in known if device.target is not None]
    log = context.run.log
    outcomes = on_devices(named, lambda place, told: _table_on(context, known[place], minutes, told), log)
    made = dict(zip((name for name, _ in named), all_of(named, outcomes, _KEPT), strict=True))
    stored = [device for device in context.found_devices if device.target is None]
    made |= {device.name: _table_on(context, device, minutes, log) for device in stored}
    return {device.name: made[device.name] for device in context.found_devices}


_KEPT = "The tables of the others are kept: `hwnas search --resume RUN` makes those that lack"


def _table_on(context: RunContext, device: TargetDevice, minutes: float, log: Log) -> dict[str, Any]:
    """The snapshot of the table on one device."""
    table, reached = latency_table(
        context.space,
        device,
        minutes=minutes,
        home=context.home,
        seed=context.config.seed,
        log=log,
        batch=context.config.batch,
        accept_noise=context.config.accept_noise,
    )
    log(f"latency table {table.context.hash} of {device.title}: {describe(table.errors)}")
    if not reached:
        log.warn(
            f"{device.title} is not measured: its latencies are those of its table, within "
            f"{100 * table.margin:.1f} % for nine networks of ten"
        )
    return {**snapshot(table, sorted(context.space.blocks())), "reached": reached}


def snapshot(table: lut.SpaceTable, keys: list[str]) -> dict[str, Any]:
    """The table as JSON: every block of the space, nothing else."""
    return {
        "context": table.context.to_json(),
        "intercept_ms": table.intercept_ms,
        "slope": table.slope,
        "blocks_ms": {key: table.latency_ms(key) for key in keys},
        "square_ms_per_mb2": table.square_ms_per_mb2,
        "weights_mb": {key: table.weight_mb(key) for key in keys},
        "errors": dict(table.errors),
        "margin": table.margin,
    }


def describe(errors: Mapping[str, Any]) -> str:
    """The figures of a table in one line."""
    return (
        f"error on held-out networks {errors['mape_pct']:.1f} % ({errors['within_5_pct']:.0f} % of them "
        f"within 5 %), noise floor {errors['noise_floor_pct']:.1f} %, "
        f"line in MACs {errors['macs_line_mape_pct']:.1f} %"
    )
