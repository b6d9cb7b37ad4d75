"""The latency table of the space on the target: reused, topped up or made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lut
from hwnas.costs.energy import read_energy
from hwnas.pipeline import networks
from hwnas.pipeline.stages import Outcome
from targets.files import write_json

from .run_context import RunContext


def make_table(context: RunContext) -> Outcome:
    """Write table.json: what the run will use, whatever happens to the table later."""
    config, space = context.config, context.space
    file = config.energy_table
    energy = None if file is None else read_energy(Path(file), space.blocks())
    minutes = config.profile_minutes or networks.default_minutes(space)
    if config.minutes is not None:
        minutes = min(minutes, 0.2 * config.minutes)
    before = sum(os.times()[:4])
    table = networks.latency_table(
        space,
        context.target,
        minutes=minutes,
        home=context.home,
        seed=config.seed,
        log=context.run.log,
        batch=config.batch,
    )
    document = {
        **snapshot(table, sorted(space.blocks())),
        "energy_mj": energy,
        "profile_cpu_s": sum(os.times()[:4]) - before,
    }
    write_json(context.path / "table.json", document)
    context.run.log(f"latency table {table.context.hash}: {describe(document['errors'])}")
    return Outcome({"context": table.context.hash, "errors": document["errors"]}, ("table.json",))


def snapshot(table: lut.SpaceTable, keys: list[str]) -> dict[str, Any]:
    """The table as JSON: every block of the space, nothing else."""
    return {
        "context": table.context.to_json(),
        "intercept_ms": table.intercept_ms,
        "slope": table.slope,
        "blocks_ms": {key: table.latency_ms(key) for key in keys},
        "square_ms_per_mb2": table.square_ms_per_mb2,
        "weights_mb": {key: table.weight_mb(key) for key in keys},
        "errors": table.errors,
        "margin": table.margin,
    }


def describe(errors: dict[str, Any]) -> str:
    """The figures of a table in one line."""
    return (
        f"error on held-out networks {errors['mape_pct']:.1f} % ({errors['within_5_pct']:.0f} % of them "
        f"within 5 %), noise floor {errors['noise_floor_pct']:.1f} %, "
        f"line in MACs {errors['macs_line_mape_pct']:.1f} %"
    )
