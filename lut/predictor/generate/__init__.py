"""Networks that a device is profiled with: random, but of the operators and shapes of real ones.

`generate(n, seed)` makes them, `sequence(seed)` one by one, and writes them with onnx.helper alone, node by
node as torch's exporter would, so that the kernels which run are those of exported networks. `sequence`
deals the kinds of blocks, `rows.ROWS` is their table, `network` puts them together; `ends` holds stems and
heads, `ops` and `moves` the operators that blocks are made of, `graph` the file. `operators` makes networks
of single operators, the rows of `*_operators`.
What a kernel costs is no concern here.
"""

from .network import Generated
from .rows import ROWS
from .sequence import generate, sequence

__all__ = ["ROWS", "Generated", "generate", "sequence"]
