"""A target describes a device and how networks run there: in TOML on the host, in JSON on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError, did_you_mean
from .fields import check_types
from .files import safe_name
from .int8_form import Int8Form, check_provider, default_form
from .reach import Reach
from .toml_file import read_toml

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Name of a provider in a target file: name in onnxruntime."""

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "provider": tuple(PROVIDERS),
    "graph_level": ("disable", "basic", "extended", "layout", "all"),
    "precision": ("fp32", "int8"),
}
"""Fields with a fixed set of values, and these."""

_MAX_THREADS = 1024


@dataclass(frozen=True)
class Target:
    """A device and the one way in which networks run on it; checked when made.

    All fields but `name` and `reach` change a latency.

    name: what it is called in tables and messages.
    provider: execution provider of onnxruntime, a key of PROVIDERS.
    threads: intra-op threads of a session.
    graph_level: level of graph optimisation.
    precision: of weights and activations; int8 networks are QDQ files.
    spinning: whether idle threads of the pool spin.
    quantisation: the form of int8 networks; None for the one that suits the device.
    reach: how to get there.

    >>> load_target("host").threads
    1
    """

    name: str
    provider: str
    threads: int
    graph_level: str
    precision: str
    spinning: bool
    quantisation: Int8Form | None = None
    reach: Reach = dataclasses.field(default_factory=Reach)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def folder(self) -> str:
        """The name as one path component."""
        return safe_name(self.name)

    @property
    def options(self) -> dict[str, Any]:
        """The fields that every target has and that change a latency, as JSON values."""
        others = ("name", "quantisation", "reach")
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in others}

    @property
    def described(self) -> dict[str, Any]:
        """What a result says about its target: everything but how to reach it, which stays private."""
        return {"name": self.name, **self.options}

    def int8_form(self, facts: Mapping[str, Any]) -> Int8Form:
        """The form of its int8 networks. facts: of the device, as in a context."""
        return self.quantisation or default_form(facts, self.provider)

    def without_address(self) -> Target:
        """The target as it is sent to the device: without addresses and paths of the host."""
        return dataclasses.replace(self, reach=Reach())

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, without a `quantisation` of None; `Target.from_json` reads them."""
        values = dataclasses.asdict(self)
        if self.quantisation is None:
            del values["quantisation"]
        return values

    @classmethod
    def from_json(cls, values: Any, where: str = "target") -> Target:
        """The target with these fields; UsageError names `where`, the field and what is allowed."""
        if not isinstance(values, Mapping):
            raise UsageError(f"{where}: expected a table of target fields, got {type(values).__name__}")
        fields = [f.name for f in dataclasses.fields(cls)]
        missing = [n for n in fields if n not in ("quantisation", "reach", *values)]
        try:
            check_types(cls, values)
            if missing:
                raise UsageError(f"missing {', '.join(missing)}; targets/known/host.toml shows every key")
            parts: dict[str, Any] = {"reach": Reach.from_json(values.get("reach", {}))}
            if "quantisation" in values:
                parts["quantisation"] = Int8Form.from_json(values["quantisation"])
            return cls(**{**values, **parts})
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None


def _check(target: Target) -> None:
    check_types(Target, {f.name: getattr(target, f.name) for f in dataclasses.fields(target)})
    safe_name(target.name)
    if not 1 <= target.threads <= _MAX_THREADS:
        raise UsageError(f"threads must lie in 1 to {_MAX_THREADS}, got {target.threads}")
    for field, allowed in ALLOWED.items():
        value = getattr(target, field)
        if value not in allowed:
            raise UsageError(f"unknown {field} {value!r}; {did_you_mean(value, allowed)}")
    if target.quantisation is None:
        return
    if target.precision != "int8":
        raise UsageError(
            f"precision {target.precision!r} has no use for [quantisation]; "
            "remove it, or set precision = 'int8'"
        )
    check_provider(target.quantisation, target.provider)


_KNOWN = Path(__file__).parent / "known"


def known_targets() -> tuple[str, ...]:
    """Names of the targets that come with hwnas."""
    return tuple(sorted(path.stem for path in _KNOWN.glob("*.toml")))


def target_file(name: str | Path) -> Path:
    """The TOML file of a known target, or the path itself; UsageError when `name` is neither."""
    if str(name) in known_targets():
        return _KNOWN / f"{name}.toml"
    if Path(name).suffix != ".toml":
        raise UsageError(
            f"unknown target {str(name)!r}; {did_you_mean(str(name), known_targets())}; "
            "or give the path of a .toml file like targets/known/host.toml"
        )
    return Path(name)


def load_target(name: str | Path) -> Target:
    """A known target by name, or the target described by a TOML file.

    UsageError for anything that is not a target.
    """
    path = target_file(name)
    values = read_toml(path, "target file", f"known targets: {', '.join(known_targets())}")
    return Target.from_json(values, str(path))
