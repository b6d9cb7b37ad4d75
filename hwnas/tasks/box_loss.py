"""What a detector's training minimises: focal loss of the classes, GIoU loss of the boxes (FCOS [1]).

A cell learns the smallest object whose centre lies within 1.5 cells of it and that it lies in; small objects
are those of the finer grid, large ones of the coarser. The cell that holds the centre of an object always
learns it.

[1] Tian et al. 2019, FCOS, section 3; centre sampling as in its second version, without centre-ness.
[2] Lin et al. 2017, Focal loss for dense object detection: alpha 0.25, gamma 2.
[3] Rezatofighi et al. 2019, Generalized intersection over union.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwnas.networks.box_head import EDGES

from .box_decode import MOST_LOG, grid, sides_of

if TYPE_CHECKING:
    from torch import Tensor

ALPHA, GAMMA = 0.25, 2.0
RADIUS = 1.5
"""Cells around the centre of an object that learn it."""
MOST_FINE = 6.0
"""Longer side of an object, in cells of the finer grid, up to which that grid learns it."""
_IMAGES_AT_A_TIME = 64
"""Assigned together: each takes a number for every pair of a cell and an object."""


@dataclass(frozen=True, slots=True)
class CellTargets:
    """What each cell learns.

    learns: (b, cells), whether it has an object. counts: (b, cells), whether it says anything of classes;
    those in a crowd do not. classes: (b, cells). edges: (b, cells, 4).
    """

    learns: Tensor
    counts: Tensor
    classes: Tensor
    edges: Tensor


def detection_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Focal and GIoU loss of the images, both over the number of cells that learn an object.

    outputs: (b, 4 + k, cells). labels: (b, m, 6).
    """
    import torch

    parts = [
        _sums(outputs[i : i + _IMAGES_AT_A_TIME], labels[i : i + _IMAGES_AT_A_TIME])
        for i in range(0, len(outputs), _IMAGES_AT_A_TIME)
    ]
    total, n = torch.stack([part[0] for part in parts]).sum(), torch.stack([part[1] for part in parts]).sum()
    return total / n.clamp(min=1)


def _sums(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of both losses, and how many cells learn an object."""
    targets = assigned(labels.to(outputs.dtype), outputs.shape[2])
    classes = _focal(outputs[:, EDGES:].transpose(1, 2), targets)
    boxes = 1 - giou(boxes_of(outputs), targets.edges)
    return classes + (boxes * targets.learns).sum(), targets.learns.sum()


def assigned(labels: Tensor, cells: int) -> CellTargets:
    """The object of each cell. labels: (b, m, 6)."""
    import torch

    places = torch.as_tensor(grid(cells), dtype=labels.dtype, device=labels.device)
    fine = sides_of(cells)[0]
    side, edges = places[:, 2, None], labels[:, None, :, 1:5]  # (cells, 1), (b, 1, m, 4)
    object_, crowd = (((labels[..., 0] >= 0) & (labels[..., 5] == c))[:, None] for c in (0, 1))
    across, down = places[:, 0, None], places[:, 1, None]
    inside = (
        torch.stack(
            [across - edges[..., 0], down - edges[..., 1], edges[..., 2] - across, edges[..., 3] - down]
        ).amin(0)
        > 0
    )  # (b, cells, m)
    width, height = edges[..., 2] - edges[..., 0], edges[..., 3] - edges[..., 1]
    off = (
        torch.maximum((across - edges[..., 0] - width / 2).abs(), (down - edges[..., 1] - height / 2).abs())
        / side
    )
    is_fine = torch.maximum(width, height) * fine <= MOST_FINE
    of_grid = is_fine == (torch.arange(cells, device=labels.device)[:, None] < fine**2)
    learns = object_ & of_grid & (((off <= RADIUS) & inside) | (off <= 0.5))
    area = torch.where(learns, width * height, torch.inf)
    smallest, place = area.min(dim=2)
    chosen = labels.gather(1, place[..., None].expand(-1, -1, labels.shape[2]))
    there = smallest < torch.inf
    return CellTargets(
        there, there | ~(crowd & inside).any(2), chosen[..., 0].long().clamp(min=0), chosen[..., 1:5]
    )


def boxes_of(outputs: Tensor) -> Tensor:
    """(b, cells, 4) edges of outputs (b, 4 + k, cells), as `box_decode` has them, not cut to the image."""
    import torch

    places = torch.as_tensor(grid(outputs.shape[2]), dtype=outputs.dtype, device=outputs.device)
    reach = outputs[:, :EDGES].transpose(1, 2).clamp(max=MOST_LOG).exp() * places[:, 2:]
    centre = places[:, :2]
    return torch.cat([centre - reach[..., :2], centre + reach[..., 2:]], dim=2)


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """(…,) generalised IoU [3] of edges (…, 4): IoU less what neither fills of the box around both."""
    import torch

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(-1)

    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    around = area(
        torch.minimum(boxes[..., :2], others[..., :2]), torch.maximum(boxes[..., 2:], others[..., 2:])
    )
    both = area(low, high)
    whole = area(boxes[..., :2], boxes[..., 2:]) + area(others[..., :2], others[..., 2:]) - both
    tiny = 1e-9
    return both / (whole + tiny) - (around - whole) / (around + tiny)


def _focal(logits: Tensor, targets: CellTargets) -> Tensor:
    """The sum of the focal loss [2] over cells and classes. logits: (b, cells, k)."""
    from torch.nn import functional

    true = functional.one_hot(targets.classes.clamp(max=logits.shape[2] - 1), logits.shape[2])
    true = (true * targets.learns[..., None]).to(logits.dtype)
    loss = functional.binary_cross_entropy_with_logits(logits, true, reduction="none")
    wrong = (logits.sigmoid() - true).abs()
    weight = ALPHA * true + (1 - ALPHA) * (1 - true)
    return (loss * weight * wrong**GAMMA * targets.counts[..., None]).sum()
