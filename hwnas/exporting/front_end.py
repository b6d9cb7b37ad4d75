"""What stands before a network of signals in its file, so that apps give raw values.

Of windows it standardises; of sounds it makes log-mel energies of the waveform first.

The names of its nodes begin with `front/`. Those stay in float where the network is stored in fewer bits:
they would lose most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import compose

from lut.predictor.models.quantise import FRONT_END

if TYPE_CHECKING:
    from torch import nn

    from hwnas.data import Data

JOINT, OUT = "standardised", "out"
"""Names of the input of a network behind a front end, and of the output of a front end."""


def front_of(data: Data) -> nn.Module | None:
    """The front end of the networks of `data`; None for images, which apps prepare, and texts."""
    from hwnas.networks.log_mel import front_end

    return front_end(data.front, data.mean, data.std) if data.kind.dims == 1 else None


def file_shape(data: Data, batch: int) -> tuple[int, ...]:
    """(b, c, h, w) of the input of an exported file; of texts (b,), for a symbol each."""
    if data.kind.dims == 0:
        return (batch,)
    return (batch, *(data.sample_shape if data.front is None else (1, 1, data.front.samples)))


def named_as_front(before: bytes) -> bytes:
    """A front end on its own with the names that it has before a network."""
    return bytes(compose.add_prefix(onnx.load_model_from_string(before), FRONT_END).SerializeToString())


def joined(before: bytes, after: bytes) -> bytes:
    """A front end with the output `out` and a network with the input `standardised`, as one graph.

    It keeps the name of the input of the first, and all of the second but its input.
    """
    first, second = (onnx.load_model_from_string(model) for model in (named_as_front(before), after))
    entry = first.graph.input[0].name
    name = entry.removeprefix(FRONT_END)
    metadata = {prop.key: prop.value for prop in second.metadata_props}
    merged = compose.merge_models(first, second, io_map=[(f"{FRONT_END}{OUT}", JOINT)])
    for node in merged.graph.node:
        node.input[:] = [name if tensor == entry else tensor for tensor in node.input]
    merged.graph.input[0].name = name
    del merged.opset_import[:]  # the merge has those of both, and the quantiser takes one of each
    merged.opset_import.extend(second.opset_import)
    merged.graph.name = second.graph.name
    merged.producer_name, merged.producer_version = second.producer_name, second.producer_version
    onnx.helper.set_model_props(merged, metadata)
    return bytes(merged.SerializeToString())
