"""Where expensive work is done: processes of this machine, or a Dask cluster.

A `Task` is JSON that names a row of `WORK`; its result is files in its folder. An `Executor` does tasks:
`local` in child processes, `dask_executor` on the workers of a cluster, which `cluster_file` finds and
`clusters` starts. `run_all` does many tasks. What a task computes lives elsewhere (`hwnas.training`).
"""

from .local import Local
from .run_all import run_all
from .task import WORK, Done, Executor, Failed, Outcome, Progress, RefusedError, Task

__all__ = [
    "WORK",
    "Done",
    "Executor",
    "Failed",
    "Local",
    "Outcome",
    "Progress",
    "RefusedError",
    "Task",
    "run_all",
]
