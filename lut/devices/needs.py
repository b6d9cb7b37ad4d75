"""What measuring on a target needs, one by one: there, or missing and how to get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from profilers.guard import HOW_TO_GET
from targets import PROVIDERS, Target
from targets.errors import HwnasError

from .device import open_device

FREE_BYTES = 200_000_000
"""Below this a profile's models may not fit."""

State = Literal["ok", "missing", "absent"]


@dataclass(frozen=True, slots=True)
class Need:
    """One thing. state: `ok`; `missing`: measuring is impossible without; `absent`: it goes without.

    found: what is there. advice: how to get or better it, where there is something to do.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def check_needs(target: Target) -> list[Need]:
    """All needs, in the order in which they are met; those behind one that is missing are left out."""
    device = open_device(target, print)
    try:
        device.contact()
    except HwnasError as error:
        return [Need("reachable", "missing", target.reach.address, str(error))]
    needs = [Need("reachable", "ok", target.reach.address)]
    try:
        found = device.inventory()
    except HwnasError as error:
        return [*needs, Need("program", "missing", "", str(error))]
    needs += _android(found) if target.reach.transport == "adb" else _python(target, found)
    return [*needs, _space(found), _steady(found["conditions"]), _energy(found["energy"])]


def _android(found: Mapping[str, Any]) -> list[Need]:
    return [
        Need("program", "ok", str(found["runner"])),
        Need("provider", "absent", "unknown", "the runner tells only when it runs: see the measurement"),
    ]


def _python(target: Target, found: Mapping[str, Any]) -> list[Need]:
    needs = [Need("program", "ok", f"Python {found['python']} ({found['executable']})")]
    for package, advice in HOW_TO_GET.items():
        why = found.get(f"{package}_error", "")
        version = found[package]
        needs.append(
            Need(package, "ok", version) if version else Need(package, "missing", why, f"there: {advice}")
        )
    if found["onnxruntime"]:
        providers = ", ".join(found["providers"])
        there = PROVIDERS[target.provider] in found["providers"]
        advice = (
            "" if there else f"install the onnxruntime that has {target.provider}, or set provider = 'cpu'"
        )
        needs.append(Need("provider", "ok" if there else "missing", providers, advice))
    return needs


def _space(found: Mapping[str, Any]) -> Need:
    free = int(found["free_bytes"])
    text = f"{free / 1e9:.1f} GB free for {found['folder']}"
    if free >= FREE_BYTES:
        return Need("space", "ok", text)
    return Need(
        "space", "missing", text, f"free {FREE_BYTES / 1e6:.0f} MB, or set reach.folder to another disk"
    )


def _steady(conditions: Mapping[str, Any]) -> Need:
    """A governor that changes the frequency makes times wander; one that cannot be read is no obstacle."""
    known = {
        key: conditions[key] for key in ("governor", "frequency_mhz", "temperature_c") if key in conditions
    }
    text = ", ".join(f"{key} {value}" for key, value in known.items())
    governor = conditions.get("governor")
    if governor in (None, "performance"):
        unknown = "" if governor else "the system does not tell; drift is seen in the times alone"
        return Need("governor", "ok" if governor else "absent", text, unknown)
    return Need("governor", "ok", text, "steadier: sudo cpupower frequency-set -g performance")


def _energy(readers: Sequence[Mapping[str, Any]]) -> Need:
    there = [reader for reader in readers if reader["available"]]
    if there:
        return Need("energy", "ok", ", ".join(f"{reader['reader']} ({reader['part']})" for reader in there))
    closed = [str(reader["reason"]) for reader in readers if "closed to this user" in str(reader["reason"])]
    return Need("energy", "absent", "no reader", (closed or ["energy is reported as unavailable"])[0])
