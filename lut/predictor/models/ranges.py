"""The ranges of the tensors of a float network, as a quantiser takes them.

The widest range lets one pixel of one image decide the step of a tensor. A percentile leaves out the few
values that are farthest out. The runtime's own percentile keeps every value of every image, which takes more
memory than there is (onnxruntime issue 10503); here a first run finds the limits, a second counts into bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDEST, AVERAGE, PERCENTILE = "lowest to highest", "moving average", "percentile"
RANGES = (WIDEST, AVERAGE, PERCENTILE)
"""How ranges are taken from samples."""

KEPT_SHARE = 0.9999
"""Of the values of a tensor, which a percentile range holds at least."""

_BINS = 2048


def percentile_ranges(
    model: Path, samples: Sequence[Mapping[str, Any]], kept: float = KEPT_SHARE
) -> dict[str, tuple[float, float]]:
    """(lowest, highest) by the name of each float tensor; (1 - kept) / 2 of its values lie on either side.

    model: the float network as it is quantised. Exact to a bin, a 2048th of the widest range.
    """
    import numpy as np

    session, names = _observed(model)
    low = np.full(len(names), np.inf)
    high = np.full(len(names), -np.inf)
    for feeds in samples:
        for place, value in enumerate(session.run(names, dict(feeds))):
            low[place] = min(low[place], float(value.min(initial=np.inf)))
            high[place] = max(high[place], float(value.max(initial=-np.inf)))
    edges = [(a, b) if b > a else (a, a + 1.0) for a, b in zip(low, high, strict=True)]
    counts = np.zeros((len(names), _BINS), np.int64)
    for feeds in samples:
        for place, value in enumerate(session.run(names, dict(feeds))):
            counts[place] += np.histogram(value, _BINS, edges[place])[0]
    return {
        name: _inner(counts[place], edges[place], (1 - kept) / 2)
        for place, name in enumerate(names)
        if np.isfinite(edges[place]).all()
    }


def _inner(counts: Any, edge: tuple[float, float], tail: float) -> tuple[float, float]:
    """The edges of the bins between which all but `tail` of the values on either side lie."""
    import numpy as np

    below = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(below, tail, side="right"))
    last = int(np.searchsorted(below, 1 - tail, side="left"))
    width = (edge[1] - edge[0]) / len(counts)
    return edge[0] + first * width, edge[0] + (min(last, len(counts) - 1) + 1) * width


def _observed(model: Path) -> tuple[Any, list[str]]:
    """A session that gives every float tensor, and their names."""
    import onnx
    import onnxruntime as ort

    loaded = onnx.shape_inference.infer_shapes(onnx.load(model))
    floats = {
        value.name
        for value in (*loaded.graph.value_info, *loaded.graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    names = [name for node in loaded.graph.node for name in node.output if name in floats]
    del loaded.graph.output[:]
    loaded.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(loaded.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, names
