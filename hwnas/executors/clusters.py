"""The clusters that a run can use: connected to, or started for it. A row of `_STARTS` each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from targets.errors import TargetError, UsageError, did_you_mean

from .cluster_file import Cluster, Tls
from .dask_executor import DaskExecutor


@contextmanager
def open_cluster(cluster: Cluster, log: Callable[[str], None]) -> Iterator[DaskExecutor]:
    """The executor of a cluster that has a worker which can be used. log: gets warnings."""
    try:
        import distributed
    except ImportError:
        raise UsageError("--cluster needs Dask: pip install 'hwnas[cluster]'") from None
    start = _STARTS[cluster.kind]
    with start(cluster) as (address, security), _client(distributed, address, security) as client:
        executor = DaskExecutor(client, cluster, log)
        executor.wait()
        try:
            yield executor
        finally:
            executor.abort()


Started = tuple[str, Any]
"""The address of a scheduler, and Dask's `Security`."""


@contextmanager
def _address(cluster: Cluster) -> Iterator[Started]:
    from distributed import Security

    assert cluster.address is not None  # checked where the file was read
    security = Security() if cluster.tls is None else _security(cluster.tls)
    tls = security.get_tls_config_for_role("client")
    if cluster.address.startswith("tls:") and not (tls["ca_file"] and tls["cert"]):
        raise UsageError(
            f"cluster: {cluster.address} needs certificates; give a TOML file with [tls], or set Dask's own "
            "distributed.comm.tls (docs/scaling.md)"
        )
    yield cluster.address, security


@contextmanager
def _local(cluster: Cluster) -> Iterator[Started]:
    """Processes of this machine, which nobody else can talk to."""
    from distributed import LocalCluster, Security

    security = Security.temporary() if cluster.tls is None else _security(cluster.tls)
    with LocalCluster(
        n_workers=cluster.workers,
        threads_per_worker=1,
        host="127.0.0.1",
        protocol="tls://",
        security=security,
        dashboard_address="127.0.0.1:0",  # None would listen on every interface
        memory_limit=0,  # the task is a process of its own, which Dask does not count
        resources=dict(cluster.resources) or None,
    ) as started:
        yield started.scheduler_address, security


@contextmanager
def _slurm(cluster: Cluster) -> Iterator[Started]:
    """Jobs of a SLURM cluster, a worker each."""
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

    assert cluster.tls is not None  # checked where the file was read
    options = {"cores": 1, "processes": 1, "memory": "4GB", **cluster.slurm}
    scheduler_options = {"dashboard_address": "127.0.0.1:0", **options.pop("scheduler_options", {})}
    _require_known(cluster.slurm, SLURMCluster, SLURMJob, SLURMJob.__base__)
    security = _security(cluster.tls)
    with SLURMCluster(
        protocol="tls://", security=security, scheduler_options=scheduler_options, **options
    ) as started:
        started.scale(jobs=cluster.workers)
        yield started.scheduler_address, security


def _require_known(options: Mapping[str, Any], *classes: Any) -> None:
    """UsageError for an option of `[slurm]` that none of the classes takes: it would be met after sbatch."""
    known = {name for one in classes for name in inspect.signature(one.__init__).parameters}
    known -= {"self", "protocol", "security", "asynchronous", "loop", "job_kwargs", "base_class_kwargs"}
    for name in options:
        if name not in known:
            raise UsageError(f"cluster: unknown key {name!r} of [slurm]; {did_you_mean(name, known)}")


@contextmanager
def _ssh(cluster: Cluster) -> Iterator[Started]:
    """Processes that ssh starts on the hosts: a scheduler on the first, a worker on each other."""
    import dask
    from distributed import SSHCluster

    assert cluster.tls is not None  # checked where the file was read
    try:
        import asyncssh
    except ImportError:
        raise UsageError("cluster: kind ssh needs asyncssh: pip install 'hwnas[cluster]'") from None
    security, options = _security(cluster.tls), dict(cluster.ssh)
    worker = {"nthreads": 1, "memory_limit": 0, "resources": dict(cluster.resources) or None}
    worker |= options.pop("worker_options", {})
    scheduler = {"protocol": "tls://", "dashboard_address": "127.0.0.1:0", "port": 0}
    scheduler |= options.pop("scheduler_options", {})
    # The processes there read Dask's configuration of here, which names the certificates.
    with dask.config.set(_configured(cluster.tls)):
        try:
            made = SSHCluster(
                worker_options=worker, scheduler_options=scheduler, security=security, **options
            )
        except (OSError, RuntimeError, asyncssh.Error) as error:
            raise TargetError(
                f"cluster: ssh cannot start the cluster on {', '.join(cluster.ssh['hosts'])}: {error}; see "
                "that `ssh HOST` works without a password and its host key is known"
            ) from None
        with made as started:
            yield started.scheduler_address, security


def _configured(tls: Tls) -> dict[str, Any]:
    """The certificates as Dask's configuration names them."""
    roles = {role: {"cert": tls.cert, "key": tls.key} for role in ("client", "scheduler", "worker")}
    return {"distributed.comm.tls": {"ca-file": tls.ca, **roles}, "distributed.comm.require-encryption": True}


_STARTS = {"address": _address, "local": _local, "ssh": _ssh, "slurm": _slurm}


def _security(tls: Tls) -> Any:
    """One certificate for every role: those of a cluster trust their authority, and each other by it."""
    from distributed import Security

    roles = {f"tls_{role}_cert": tls.cert for role in ("client", "scheduler", "worker")}
    keys = {f"tls_{role}_key": tls.key for role in ("client", "scheduler", "worker")}
    return Security(tls_ca_file=tls.ca, require_encryption=True, **roles, **keys)


@contextmanager
def _client(distributed: Any, address: str, security: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(address, security=security, timeout="20s", set_as_default=False)
    except (OSError, TimeoutError) as error:
        cause = error.__cause__ or error
        raise TargetError(
            f"the scheduler at {address} cannot be reached ({cause}): see that it runs, that its port is "
            "open, and that your certificate is of its authority"
        ) from None
    try:
        yield client
    finally:
        client.close(timeout=10)
