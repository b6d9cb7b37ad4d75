"""`hwnas profile` of several devices: side by side, each with its facts or with the reason for having none.

What is complete is noted until all are, so that the same command goes on with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lut
from hwnas.runs.device_rows import on_devices
from hwnas.runs.log import Log
from lut.caveats import ASKED, MEASURED
from lut.predictor.latency_predictor import load
from lut.predictor.profile import predictor_folder
from lut.tables.bundle import Content
from targets import Target
from targets.errors import HwnasError
from targets.files import digest_of, read_json, write_json

from .tables import table_facts


def profile_many(
    devices: Sequence[Target],
    profile: Callable[[Target, Log], Content],
    asked: Mapping[str, Any],
    home: Path,
    log: Log,
) -> list[dict[str, Any]]:
    """In the order of the devices: the facts of what `profile` made, or `failure` and `exit_code`.

    asked: all options of the command as JSON, by which a command that is given again is known.
    """
    done = _Finished(home, [device.to_json() for device in devices], asked)

    def one(place: int, told: Log) -> Content:
        device = devices[place]
        known = done.content(device)
        if known is not None:
            told(f"profiled by this command already ({known.date}); it stays")
            return known
        content = profile(device, told)
        done.note(device, content)
        return content

    outcomes = on_devices([(device.name, device) for device in devices], one, log)
    done.forget_if_all(outcomes)
    return [_entry(device, outcome) for device, outcome in zip(devices, outcomes, strict=True)]


def _entry(device: Target, outcome: Content | HwnasError) -> dict[str, Any]:
    if isinstance(outcome, HwnasError):
        return {"target": device.name, "failure": str(outcome), "exit_code": outcome.exit_code}
    return table_facts(outcome)


class _Finished:
    """The predictors that are complete while those of other devices are not: the context of each."""

    def __init__(self, home: Path, devices: list[Mapping[str, Any]], asked: Mapping[str, Any]) -> None:
        self._home = home
        self._path = home / "tables" / f"profiling-{digest_of([devices, dict(asked)])[:16]}.json"
        self._hashes: dict[str, str] = {}
        if self._path.exists():
            self._hashes = dict(read_json(self._path, "the profiles that are done"))

    def content(self, device: Target) -> lut.LatencyPredictor | None:
        """What was made; None where nothing was, or where it is gone."""
        known = self._hashes.get(device.name)
        try:
            return load(predictor_folder(self._home, device, known)) if known else None
        except HwnasError:
            return None

    def note(self, device: Target, content: Content) -> None:
        """It is complete. A table of a space needs no note: it is found by its context."""
        if isinstance(content, lut.LatencyPredictor) and content.errors.get(MEASURED) == content.errors.get(
            ASKED
        ):
            self._hashes[device.name] = content.context.hash
            write_json(self._path, self._hashes)

    def forget_if_all(self, outcomes: Sequence[Content | HwnasError]) -> None:
        """Given once more, the command measures all anew, as that of one device does."""
        if not any(isinstance(outcome, HwnasError) for outcome in outcomes):
            self._path.unlink(missing_ok=True)
