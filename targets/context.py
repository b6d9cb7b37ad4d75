"""The context of a measurement: every fact that may change a latency, under one hash.

Tables and predictors of different contexts are never mixed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .conditions import read_text
from .target import Target

_CPU_KEYS = {
    "model name": "cpu_model",
    "vendor_id": "cpu_vendor",
    "cpu family": "cpu_family",
    "model": "cpu_model_number",
    "stepping": "cpu_stepping",
    "CPU implementer": "cpu_implementer",
    "CPU part": "cpu_part",
    "Hardware": "cpu_hardware",
    "flags": "cpu_flags",
    "Features": "cpu_flags",
}
"""Name of a line of /proc/cpuinfo, which differs between x86 and ARM: name of the fact."""


@dataclass(frozen=True)
class Context:
    """Facts by name; two contexts are the same when their hashes are.

    >>> Context({"threads": 1}).explain(Context({"threads": 2}))
    'threads: 1 here, 2 there'
    """

    facts: Mapping[str, Any]

    @cached_property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the facts as canonical JSON."""
        text = json.dumps(dict(self.facts), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The hash and the facts, as stored beside every latency."""
        return {"hash": self.hash, "facts": dict(self.facts)}

    def differences(self, other: Context) -> tuple[str, ...]:
        """Names of the facts that differ, or that only one of the two has, sorted."""
        missing = object()
        names = set(self.facts) | set(other.facts)
        return tuple(sorted(n for n in names if self.facts.get(n, missing) != other.facts.get(n, missing)))

    def explain(self, other: Context) -> str:
        """`ort_version: '1.30.0' here, '1.31.1' there; …` for each difference."""
        return "; ".join(
            f"{name}: {_short(self.facts.get(name))} here, {_short(other.facts.get(name))} there"
            for name in self.differences(other)
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({hashlib.sha256(text.encode()).hexdigest()[:8]})"


def host_facts(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Facts of this machine that the standard library knows."""
    facts: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
    }
    try:
        facts.update(cpu_facts(cpuinfo.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        facts["cpu_model"] = platform.processor()
    governor = read_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    return {**facts, "cpu_governor": governor} if governor else facts


def cpu_facts(cpuinfo: str) -> dict[str, Any]:
    """Facts of the first processor in the text of a /proc/cpuinfo."""
    facts: dict[str, Any] = {}
    for line in cpuinfo.split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        fact = _CPU_KEYS.get(name.strip())
        if fact == "cpu_flags":
            facts[fact] = " ".join(sorted(value.split()))
        elif fact:
            facts[fact] = value.strip()
    return facts


def make_context(target: Target, facts: Mapping[str, Any], exporter: str) -> Context:
    """The context of measurements on `target`: facts of the device, the exporter, the target's options.

    A target of precision int8 adds the form of its networks (`Int8Form.facts`).
    """
    form = target.int8_form(facts).facts if target.precision == "int8" else {}
    options = {f"target_{k}": v for k, v in target.options.items()}
    return Context({**facts, "exporter": exporter, **options, **form})
