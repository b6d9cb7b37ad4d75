"""The clusters that a run can use: connected to, or started for it. A row of `_STARTS` each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from targets.errors import TargetError, UsageError

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
    from dask_jobqueue.slurm import SLURMCluster

    if cluster.tls is None:
        raise UsageError("cluster: kind slurm needs [tls] with ca, cert and key where all nodes see them")
    options = {"cores": 1, "processes": 1, "memory": "4GB", **cluster.slurm}
    with SLURMCluster(
        protocol="tls://",
        security=_security(cluster.tls),
        scheduler_options={"dashboard_address": "127.0.0.1:0", **options.pop("scheduler_options", {})},
        **options,
    ) as started:
        started.scale(jobs=cluster.workers)
        yield started.scheduler_address, _security(cluster.tls)


_STARTS = {"address": _address, "local": _local, "slurm": _slurm}


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
