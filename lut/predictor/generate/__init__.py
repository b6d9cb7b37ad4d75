"""Networks that a device is profiled with: random, but of the operators and shapes of real ones.

`generate(n, seed)` writes them with onnx.helper alone, node by node as torch's exporter would, so that the
kernels which run are those of exported networks. `rows.ROWS` is the table of block kinds; `ends` holds
stems and heads, `ops` and `moves` the operators, `graph` the file. What a kernel costs is no concern here.
"""

from .network import Generated, generate
from .rows import ROWS

__all__ = ["ROWS", "Generated", "generate"]
