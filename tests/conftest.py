"""One thread per process: small tensors gain nothing from more, and threads that spin lose a lot.

Set before torch, numpy or onnxruntime load, and inherited by the processes that tests start.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
