"""What of the layout differs between targets and builds of onnxruntime, in a dozen small values.

Sources: onnxruntime's `nchwc_transformer.cc` and pull requests 7442 (channels padded from a multiple of 4),
27691 and 27821 (activations kept in blocks, channel scales as convolutions), 31957 (HardSwish) and 25580
(arm64).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from targets.errors import DamagedFileError

BLOCK_SIZES = (4, 8, 16)
"""Floats of a vector: 4 and 8 on arm64 builds and AVX2, 16 with AVX-512."""

FUSABLE = ("HardSigmoid", "HardSwish", "Relu", "Sigmoid", "Tanh")
"""Activations that some build fuses into a blocked convolution where they come alone or after a sum."""

KEEPABLE = ("Gelu", "HardSigmoid", "QuickGelu", "Relu", "Sigmoid", "Tanh")
"""Elementwise operations that some build runs on blocks of channels."""


@dataclass(frozen=True)
class LayoutRule:
    """How a target's runtime rewrites a graph of level `extended`.

    blocked: convolutions run on blocks of channels (NCHWc).
    block_size: channels of a block.
    dense_multiple, depthwise_multiple: the input channels of such convolutions must be a multiple of it; they
        are padded to whole blocks.
    fuses: activations that become part of a blocked convolution.
    keeps: elementwise operations that stay in blocks.
    fuses_sum: an addition becomes an input of a blocked convolution.
    scales: a product with a weight per channel becomes a convolution.
    resizes: modes of Resize that stay in blocks.
    fuses_plain_sum: an addition, and an activation after it, become part of a convolution that is not
        blocked.
    channels_last: int8 convolutions run with the channels last.
    """

    blocked: bool = True
    block_size: int = 16
    dense_multiple: int = 4
    depthwise_multiple: int = 4
    fuses: tuple[str, ...] = FUSABLE
    keeps: tuple[str, ...] = KEEPABLE
    fuses_sum: bool = True
    scales: bool = True
    resizes: tuple[str, ...] = ("linear", "nearest")
    fuses_plain_sum: bool = True
    channels_last: bool = True

    def __post_init__(self) -> None:
        sizes = (self.block_size, self.dense_multiple, self.depthwise_multiple)
        if not all(isinstance(n, int) and n > 0 for n in sizes):
            raise DamagedFileError(f"layout rule: sizes must be whole numbers above 0, got {sizes}")

    def padded(self, channels: int) -> int:
        """Channels of whole blocks."""
        return -(-channels // self.block_size) * self.block_size

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, values: Any) -> LayoutRule:
        """The rule of these fields; DamagedFileError where one is missing, unknown or of another type."""
        default = cls()
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            got = sorted(values) if isinstance(values, Mapping) else type(values).__name__
            raise DamagedFileError(f"layout rule: expected the fields {', '.join(names)}, got {got}")
        read: dict[str, Any] = {}
        for name in names:
            value = values[name]
            kind = type(getattr(default, name))
            if kind is tuple and isinstance(value, list) and all(isinstance(x, str) for x in value):
                value = tuple(value)
            if type(value) is not kind:
                raise DamagedFileError(f"layout rule: {name} must be a {kind.__name__}, got {value!r}")
            read[name] = value
        return cls(**read)
