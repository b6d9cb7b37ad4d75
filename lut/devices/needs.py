"""What measuring on a target needs, one by one, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from profilers.guard import HOW_TO_GET
from targets import PROVIDERS, Target
from targets.errors import HwnasError
from targets.int8_form import form_warning

from .device import open_device

FREE_BYTES = 200_000_000
"""Below this a profile's models may not fit."""

NeedState = Literal["ok", "missing", "absent"]
"""`missing`: measuring is impossible without it. `absent`: measuring goes without it."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that measuring needs.

    name: what it is.
    state: whether it is there.
    found: what is there.
    advice: how to get or better it; empty where there is nothing to do.
    """

    name: str
    state: NeedState
    found: str
    advice: str = ""


def check_needs(target: Target, ask_s: float | None = None) -> list[Need]:
    """All needs in the order in which they are met, up to one without which the others cannot be checked.

    ask_s: how long each answer may take; None for as long as a slow board needs.
    """
    device = open_device(target, print) if ask_s is None else open_device(target, print, ask_s)
    try:
        device.contact()
    except HwnasError as error:
        return [Need("reachable", "missing", target.reach.address, str(error))]
    needs = [Need("reachable", "ok", target.reach.address)]
    try:
        inventory = device.inventory()
    except HwnasError as error:
        return [*needs, Need("program", "missing", "", str(error))]
    needs += _android(inventory) if target.reach.transport == "adb" else _python(target, inventory)
    if target.precision == "int8" and all(need.state != "missing" for need in needs):
        needs.append(_int8_form(target, device.facts()))
    return [*needs, _space(inventory), _steady(inventory["conditions"]), _energy(inventory["energy"])]


def _android(inventory: Mapping[str, Any]) -> list[Need]:
    return [
        Need("program", "ok", str(inventory["runner"])),
        Need("provider", "absent", "unknown", "the runner tells only when it runs: see the measurement"),
    ]


def _python(target: Target, inventory: Mapping[str, Any]) -> list[Need]:
    needs = [Need("program", "ok", f"Python {inventory['python']} ({inventory['executable']})")]
    for package, advice in HOW_TO_GET.items():
        why = inventory.get(f"{package}_error", "")
        version = inventory[package]
        needs.append(
            Need(package, "ok", version) if version else Need(package, "missing", why, f"there: {advice}")
        )
    if inventory["onnxruntime"]:
        providers = ", ".join(inventory["providers"])
        usable = PROVIDERS[target.provider] in inventory["providers"]
        advice = (
            "" if usable else f"install the onnxruntime that has {target.provider}, or set provider = 'cpu'"
        )
        needs.append(Need("provider", "ok" if usable else "missing", providers, advice))
    return needs


def _int8_form(target: Target, facts: Mapping[str, Any]) -> Need:
    """The form of int8 networks, and what is wrong with it on the CPU of these facts."""
    form = target.int8_form(facts)
    by = "the default for this CPU" if target.quantisation is None else "set by [quantisation]"
    return Need("int8 form", "ok", f"{form.text} ({by})", form_warning(form, facts))


def _space(inventory: Mapping[str, Any]) -> Need:
    free = int(inventory["free_bytes"])
    text = f"{free / 1e9:.1f} GB free for {inventory['folder']}"
    if free >= FREE_BYTES:
        return Need("space", "ok", text)
    return Need(
        "space", "missing", text, f"free {FREE_BYTES / 1e6:.0f} MB, or set reach.folder to another disk"
    )


def _steady(conditions: Mapping[str, Any]) -> Need:
    """A governor that changes the frequency makes times vary; one that cannot be read is no obstacle."""
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
    usable = [reader for reader in readers if reader["available"]]
    if usable:
        return Need("energy", "ok", ", ".join(f"{reader['reader']} ({reader['part']})" for reader in usable))
    closed = [str(reader["reason"]) for reader in readers if "closed to this user" in str(reader["reason"])]
    return Need("energy", "absent", "no reader", (closed or ["energy is reported as unavailable"])[0])
