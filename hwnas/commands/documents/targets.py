"""`hwnas targets check`: what a device has of what measuring needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwnas.runs.log import Log
from lut.devices.needs import check_needs
from lut.devices.reference_networks import reference_onnx
from targets import Target

from .bench import bench_models


def check_target(target: Target, *, home: Path, log: Log) -> dict[str, Any]:
    """All needs of measuring on the target; where none is missing, the measured reference network too."""
    needs = check_needs(target)
    usable = all(need.state != "missing" for need in needs)
    return {
        "target": target.to_json(),
        "usable": usable,
        "needs": [asdict(need) for need in needs],
        "measured": bench_models(target, [("reference", reference_onnx())], home=home, log=log)
        if usable
        else None,
    }
