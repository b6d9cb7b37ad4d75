"""The weights that a training begins with: those of a file, or what a supernet has for its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.errors import DamagedFileError, UsageError

from .planned_file import planned_bytes

if TYPE_CHECKING:
    from torch import Tensor

SUPERNET_FILE = "supernet.safetensors"
"""What a search calls the file of its shared weights."""

SHARED = "shared"
"""Key of a job's `start` whose file holds the shared weights of the space of the network."""


def start_weights(start: Mapping[str, str], network: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors by name. start, network: of a training job.

    DamagedFileError for a file that changed or is damaged, or shared weights of another space.
    """
    from .state_file import read_safetensors

    tensors = read_safetensors(planned_bytes(start, "weights to start from"), Path(start["file"]))
    return _of_architecture(tensors, start["file"], network) if SHARED in start else tensors


def _of_architecture(
    tensors: Mapping[str, Tensor], file: str, network: Mapping[str, Any]
) -> dict[str, Tensor]:
    """A copy of the shared weights that the architecture uses; its norms keep no statistics yet."""
    from hwnas import supernets
    from hwnas.spaces import load_space

    if "arch" not in network:
        raise UsageError(f"{file} holds the weights of a space, and this network is no architecture of one")
    space = load_space(**network["space"])
    supernet = supernets.make(space)
    try:
        supernet.load_state_dict(dict(tensors))
    except RuntimeError:
        raise DamagedFileError(
            f"{file} holds no shared weights of space {space.name} with this size of images, width and "
            "number of classes; give the file of a search that had the same"
        ) from None
    arch = space.from_string(network["arch"])
    state = dict(supernet.extract(arch).state_dict())
    built = space.build(arch).state_dict()
    if any(name in built and built[name].shape != tensor.shape for name, tensor in state.items()):
        raise UsageError(
            f"space {space.name} is searched with another size of network than it trains in the end: the "
            f"weights in {file} have other shapes; leave out --start-from"
        )
    return state
