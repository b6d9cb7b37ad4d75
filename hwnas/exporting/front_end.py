"""What stands before a network of signals in its file: the standardisation, so that apps give raw values.

The names of its nodes begin with `front/`. Those stay in float where the network is stored in fewer bits:
they are little of the work and would lose most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hwnas.data import Data

PREFIX = "front/"
_JOINT = "standardised"


class Standardise(nn.Module):
    """(x - mean) / std per channel of (b, c, 1, t)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        exact = (torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1) for values in (mean, std))
        centre, spread = exact
        self.register_buffer("mean", centre.float())
        self.register_buffer("scale", (1 / spread).float())

    def forward(self, x: Tensor) -> Tensor:
        """Raw values to what the network takes."""
        return (x - self.get_buffer("mean")) * self.get_buffer("scale")


def front_of(data: Data) -> nn.Module | None:
    """The front end of the networks of `data`; None for images, which apps or the packaging prepare."""
    return Standardise(data.mean, data.std) if data.kind.levels is None else None


def file_shape(data: Data, batch: int) -> tuple[int, ...]:
    """(b, c, h, w) of the input of an exported file."""
    return (batch, *data.sample_shape)


def network_file(
    module: nn.Module, data: Data, batch: int, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The float file of a network: the one exporter, with the front end of the data before it."""
    from .export import INPUT_NAME, onnx_bytes

    front, shape = front_of(data), (batch, *data.sample_shape)
    name = INPUT_NAME if front is None else _JOINT
    model = onnx_bytes(module, shape, metadata=metadata, input_name=name)
    if front is None:
        return model
    before = onnx_bytes(front, file_shape(data, batch), input_name=data.kind.input_name, output_name="out")
    return _joined(before, model)


def _joined(before: bytes, after: bytes) -> bytes:
    """One graph; it keeps the name of the input of the first, and all of the second but its input."""
    first, second = (onnx.load_model_from_string(model) for model in (before, after))
    name = first.graph.input[0].name
    metadata = {prop.key: prop.value for prop in second.metadata_props}
    merged = onnx.compose.merge_models(
        onnx.compose.add_prefix(first, PREFIX), second, io_map=[(f"{PREFIX}out", _JOINT)]
    )
    for node in merged.graph.node:
        node.input[:] = [name if tensor == f"{PREFIX}{name}" else tensor for tensor in node.input]
    merged.graph.input[0].name = name
    merged.graph.name = second.graph.name
    merged.producer_name, merged.producer_version = second.producer_name, second.producer_version
    onnx.helper.set_model_props(merged, metadata)
    return bytes(merged.SerializeToString())


def front_nodes(model: bytes) -> tuple[str, ...]:
    """Names of the nodes that stay in float."""
    if PREFIX.encode() not in model:
        return ()
    graph = onnx.load_model_from_string(model).graph
    return tuple(node.name for node in graph.node if node.name.startswith(PREFIX))
