"""What `--cluster` names: the address of a Dask scheduler, or a TOML file of a cluster.

kind = "address"                       # or one that is started for the run: local, ssh, slurm
address = "tls://gpu-box:8786"
resources = { GPU = 1 }                # what each task takes of a worker, which offers it by --resources

[tls]                                  # relative to this file
ca = "ca.pem"
cert = "me.pem"
key = "me.key"

[paths]                                # where this machine's folders lie on the workers
"/home/me/photos" = "/mnt/photos"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hwnas.core.declared import number, typed
from targets.errors import UsageError, did_you_mean
from targets.files import user_path
from targets.toml_file import read_toml

KINDS: Mapping[str, tuple[str, ...]] = {
    "address": ("address",),
    "local": ("workers",),
    "ssh": ("ssh",),
    "slurm": ("workers", "slurm"),
}
"""The kinds of clusters, and the keys that only some of them have a use for."""

SSH = ("hosts", "connect_options", "worker_options", "scheduler_options", "worker_class", "remote_python")
"""Keys of `[ssh]`: the arguments of `distributed.SSHCluster`."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The certificates of a cluster: its authority's, and one's own with its key."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster, and how tasks are given to it.

    kind: of `KINDS`. address: of the scheduler, for kind address.
    workers: that are started, for the kinds local and slurm.
    ssh: arguments of `distributed.SSHCluster`: of `hosts` the first has the scheduler, each other a worker.
    slurm: arguments of `dask_jobqueue.SLURMCluster`.
    tls: None for what Dask's own configuration says.
    resources: that each task takes.
    paths: where folders of this machine lie on the workers.
    retries: of a task whose worker raises; the scheduler counts those that die itself.
    wait_s: for the first worker.
    """

    kind: str = "address"
    address: str | None = None
    workers: int = 2
    ssh: Mapping[str, Any] = field(default_factory=dict)
    slurm: Mapping[str, Any] = field(default_factory=dict)
    tls: Tls | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    retries: int = 2
    wait_s: float = 60.0


def find_cluster(text: str) -> Cluster:
    """The cluster that a user means, checked; nothing is connected to."""
    if not text.endswith(".toml"):
        return _checked(Cluster(address=text))
    path = user_path(text)
    return _checked(_from_file(path, read_toml(path, "cluster")))


def on_loopback(address: str) -> bool:
    """Whether an address is of this machine alone."""
    return urlsplit(address).hostname in _LOOPBACK


def _from_file(path: Path, values: dict[str, Any]) -> Cluster:
    where = f"cluster {path}"
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _READ:
            raise UsageError(f"{where}: unknown key {key!r}; {did_you_mean(key, _READ)}")
        given[key] = _READ[key](value, f"{where}: {key}")
    if "tls" in given:
        given["tls"] = _tls(given["tls"], where, path.parent)
    _check_used(given, where)
    return Cluster(**given)


def _check_used(given: Mapping[str, Any], where: str) -> None:
    """UsageError for an unknown kind, and for keys that the kind of the cluster has no use for."""
    kind = given.get("kind", "address")
    if kind not in KINDS:
        raise UsageError(f"{where}: unknown kind {kind!r}; {did_you_mean(kind, KINDS)}")
    of_some = {key for keys in KINDS.values() for key in keys}
    for key in given.keys() & of_some - set(KINDS[kind]):
        fitting = " or ".join(repr(other) for other, keys in KINDS.items() if key in keys)
        if key == "address":
            raise UsageError(f"{where}: kind {kind!r} starts a scheduler itself; leave address away")
        raise UsageError(f"{where}: kind {kind!r} has no use for {key}; remove it, or set kind = {fitting}")


def _ssh(value: Any, where: str) -> dict[str, Any]:
    options = _table(value, where)
    for key in options:
        if key not in SSH:
            raise UsageError(f"{where}: unknown key {key!r}; {did_you_mean(key, SSH)}")
    hosts = options.get("hosts", [])
    if not (isinstance(hosts, list) and len(hosts) >= 2 and all(isinstance(h, str) and h for h in hosts)):
        raise UsageError(
            f'{where}.hosts must be a list of two or more names, as ["box", "box", "gpu-1"]: the first has '
            f"the scheduler, each other a worker; got {hosts!r}"
        )
    return options


def _text(value: Any, where: str) -> str:
    return str(typed(value, str, where))


def _table(value: Any, where: str) -> dict[str, Any]:
    return dict(typed(value, dict, where))


def _texts(value: Any, where: str) -> dict[str, str]:
    return {key: _text(item, f"{where}.{key}") for key, item in _table(value, where).items()}


def _amounts(value: Any, where: str) -> dict[str, float]:
    amounts = {key: number(item, f"{where}.{key}") for key, item in _table(value, where).items()}
    for key, amount in amounts.items():
        if amount <= 0:
            raise UsageError(
                f"{where}.{key} is {amount:g}; allowed: above 0, what each task takes of a worker"
            )
    return amounts


def _count(value: Any, where: str) -> int:
    if not 0 <= typed(value, int, where) <= 10_000:
        raise UsageError(f"{where} is {value}; allowed: 0 to 10,000")
    return int(value)


def _workers(value: Any, where: str) -> int:
    if _count(value, where) == 0:
        raise UsageError(f"{where} is 0; a cluster needs one to train anything, allowed: 1 to 10,000")
    return int(value)


def _seconds(value: Any, where: str) -> float:
    if not 0 < number(value, where) <= 86_400:
        raise UsageError(f"{where} is {value}; allowed: above 0, at most 86,400")
    return float(value)


_READ: Mapping[str, Callable[[Any, str], Any]] = {
    "kind": _text,
    "address": _text,
    "workers": _workers,
    "ssh": _ssh,
    "slurm": _table,
    "tls": _texts,
    "resources": _amounts,
    "paths": _texts,
    "retries": _count,
    "wait_s": _seconds,
}
"""How each key of the file is read."""


def _tls(values: Mapping[str, str], where: str, folder: Path) -> Tls:
    names = ("ca", "cert", "key")
    if set(values) != set(names):
        raise UsageError(f"{where}: [tls] needs ca, cert and key, each a PEM file; got {', '.join(values)}")
    files = {name: folder / user_path(values[name]) for name in names}
    for name, file in files.items():
        if not file.is_file():
            raise UsageError(f"{where}: tls.{name}: {file} does not exist")
    return Tls(**{name: str(file) for name, file in files.items()})


def _checked_kind(cluster: Cluster) -> Cluster:
    """One that is started for the run."""
    if cluster.kind == "ssh" and not cluster.ssh:
        raise UsageError("cluster: kind 'ssh' needs a table [ssh] with hosts")
    if cluster.kind in _FAR and cluster.tls is None:
        raise UsageError(
            f"cluster: kind {cluster.kind} needs [tls] with ca, cert and key, at the same place on all hosts"
        )
    return cluster


_FAR = ("ssh", "slurm")
"""Kinds whose parts talk over a network."""


def _checked(cluster: Cluster) -> Cluster:
    if cluster.kind != "address":
        return _checked_kind(cluster)
    address = cluster.address or ""
    try:
        parts = urlsplit(address)
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("tls", "tcp"):
        raise UsageError(
            f"cluster: {address!r} is no address of a Dask scheduler; allowed: tls://HOST:PORT, on this "
            "machine tcp://127.0.0.1:PORT too, or a TOML file"
        )
    if parts.scheme == "tcp" and not on_loopback(address):
        raise UsageError(
            f"cluster: {address} is not encrypted, and whoever can reach it runs code on every worker; start "
            f"the scheduler and its workers with TLS (docs/scaling.md) and give tls://{parts.netloc}"
        )
    return cluster
