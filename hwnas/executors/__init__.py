"""Where expensive work is done: processes of this machine, or a Dask cluster.

An `ExecutorTask` is JSON that names a row of `WORK`; its result is files in its folder. An `Executor` does
tasks: `local` in child processes, `dask_executor` on the workers of a cluster, which `cluster_file` finds and
`clusters` starts. `run_all` does many tasks. What a task computes lives elsewhere (`hwnas.training`).
"""

from .local import LocalExecutor
from .run_all import run_all
from .task import (
    WORK,
    Done,
    Executor,
    ExecutorTask,
    Failed,
    OnProgress,
    Progress,
    RefusedError,
    TaskContext,
    TaskOutcome,
)

__all__ = [
    "WORK",
    "Done",
    "Executor",
    "ExecutorTask",
    "Failed",
    "LocalExecutor",
    "OnProgress",
    "Progress",
    "RefusedError",
    "TaskContext",
    "TaskOutcome",
    "run_all",
]
