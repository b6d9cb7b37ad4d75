"""How a device is *measured*: latency with onnxruntime, by jobs that are folders.

Runs on the host and alone on a board: numpy, onnxruntime and Python 3.9 are enough
(`python3 -m profilers JOB`). What was measured, and what follows from it, lives in `lut`.
Importing this package loads neither numpy nor onnxruntime.
"""

from .job import Job, Timing, read_job, write_job
from .rows import read_rows

__all__ = ["Job", "Timing", "read_job", "read_rows", "write_job"]
