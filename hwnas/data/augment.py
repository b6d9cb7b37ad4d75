"""Random changes of a whole batch as a few tensor operations; no decision is drawn from a global state.

Photos: shift by up to 1/8 (the border is reflected) and mirror, as in He et al. 2015, section 4.2.
Characters: shift, rotate and scale, never mirror.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from targets.errors import UsageError

from .boxes import moved as moved_boxes
from .signal_augment import SignalAugment

if TYPE_CHECKING:
    import torch

    from .dataset import Data


@dataclass(frozen=True, slots=True)
class Augment:
    """How much a training image may change.

    shift, cutout: parts of the image size; rotate_degrees and scale (0.1: 0.9 to 1.1 times) to both sides.
    """

    shift: float = 0.125
    flip: bool = False
    rotate_degrees: float = 0.0
    scale: float = 0.0
    cutout: float = 0.0

    def __post_init__(self) -> None:
        bounds = {"shift": 0.5, "rotate_degrees": 180.0, "scale": 0.9, "cutout": 1.0}
        for name, most in bounds.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"augmentation: {name} is {value}; allowed: 0 to {most}")

    @classmethod
    def for_data(cls, data: Data) -> Augment | SignalAugment | None:
        """Shift scenes, and mirror photos; bend characters. Signals have changes of their own, texts none."""
        if data.kind.dims == 0:
            return None
        if data.kind.levels is None:
            return SignalAugment(mean=data.mean, std=data.std)
        if data.flip or not data.centred:
            return cls(flip=data.flip)
        return cls(shift=0.0625, rotate_degrees=10.0, scale=0.1)

    def moved(
        self, x: torch.Tensor, boxes: npt.NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[torch.Tensor, npt.NDArray[np.float32]]:
        """The changed batch with its boxes (b, m, 6); outside is black, for a reflected object has no box."""
        n, size = len(x), x.shape[-1]
        mirrored, shift = self._placed(n, size, rng)
        angle = np.deg2rad(rng.uniform(-self.rotate_degrees, self.rotate_degrees, n))
        zoom = rng.uniform(1 - self.scale, 1 + self.scale, n)
        x = affine(x, angle, zoom, shift, mirrored)
        theta = _theta(angle, zoom, shift, mirrored, size)
        boxes = moved_boxes(boxes, theta[:, :, :2], theta[:, :, 2])
        if self.cutout:
            x = cut_out(x, rng.integers(0, size, (n, 2)), max(1, round(self.cutout * size)))
        return x, boxes

    def _placed(
        self, n: int, size: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """Which images are mirrored, (n,), and by how many pixels they are moved down and right, (n, 2)."""
        mirrored = rng.random(n) < 0.5 if self.flip else np.zeros(n, bool)
        return mirrored, rng.uniform(-self.shift, self.shift, (n, 2)) * size

    def apply(self, x: torch.Tensor, rng: np.random.Generator, planes: int = 0) -> torch.Tensor:
        """x: (b, c, s, s) uint8; returns the changed batch, uint8 or float, in 0..255.

        planes: the last channels that are labels: they are moved as the others are, and keep their values.
        """
        n, size = len(x), x.shape[-1]
        mirrored, shift = self._placed(n, size, rng)
        if self.rotate_degrees or self.scale:
            angle = np.deg2rad(rng.uniform(-self.rotate_degrees, self.rotate_degrees, n))
            zoom = rng.uniform(1 - self.scale, 1 + self.scale, n)
            x = affine(x, angle, zoom, shift, mirrored, planes)
        elif self.shift or self.flip:
            x = move(x, np.rint(shift).astype(np.int64), mirrored)
        if self.cutout:
            x = cut_out(x, rng.integers(0, size, (n, 2)), max(1, round(self.cutout * size)), planes)
        return x


def move(x: torch.Tensor, shift: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_]) -> torch.Tensor:
    """Shift by whole pixels and mirror, as one gather, twice as fast as pad and crop."""
    import torch

    n, channels, size, _ = x.shape
    line = np.arange(size)
    rows = line + shift[:, :1]
    columns = np.where(mirrored[:, None], size - 1 - line, line) + shift[:, 1:]
    last = size - 1
    rows, columns = (last - np.abs(last - np.abs(each)) for each in (rows, columns))  # reflect at both ends
    flat = (rows[:, :, None] * size + columns[:, None, :]).reshape(n, 1, -1)
    index = torch.from_numpy(flat).to(x.device).expand(n, channels, -1)
    return x.reshape(n, channels, -1).gather(2, index).view(x.shape)


def affine(
    x: torch.Tensor,
    angle: npt.NDArray[np.float64],
    zoom: npt.NDArray[np.float64],
    shift: npt.NDArray[np.float64],
    mirrored: npt.NDArray[np.bool_],
    planes: int = 0,
) -> torch.Tensor:
    """Rotate, scale, shift and mirror with one bilinear sampling; outside is black.

    planes: the last channels that are labels, of which the nearest is taken; outside they repeat.
    """
    import torch
    from torch.nn import functional as f

    theta = _theta(angle, zoom, shift, mirrored, x.shape[-1])
    matrix = torch.from_numpy(theta.astype(np.float32)).to(x.device)
    grid = f.affine_grid(matrix, list(x.shape), align_corners=False)
    if not planes:
        return f.grid_sample(x.float(), grid, align_corners=False)
    shown = f.grid_sample(x[:, :-planes].float(), grid, align_corners=False)
    labels = f.grid_sample(
        x[:, -planes:].float(), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return torch.cat([shown, labels], dim=1)


def _theta(
    angle: npt.NDArray[np.float64],
    zoom: npt.NDArray[np.float64],
    shift: npt.NDArray[np.float64],
    mirrored: npt.NDArray[np.bool_],
    size: int,
) -> npt.NDArray[np.float64]:
    """(n, 2, 3): from places in the new image to those in the old one, which run from -1 to 1."""
    sign = np.where(mirrored, -1.0, 1.0)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    half = size / 2
    theta = np.stack([cos * sign, -sin, shift[:, 1] / half, sin * sign, cos, shift[:, 0] / half], axis=1)
    return theta.reshape(-1, 2, 3)


def cut_out(x: torch.Tensor, centre: npt.NDArray[np.int64], side: int, planes: int = 0) -> torch.Tensor:
    """A square of `side` pixels around each centre (n, 2) becomes the mean of its image.

    DeVries and Taylor 2017, arXiv 1708.04552: the centre lies anywhere, so the border may cut the square.
    """
    import torch

    line = np.arange(x.shape[-1])
    inside = np.abs(line - centre[:, :, None] + 0.25) <= side / 2  # (n, 2, s)
    hole = torch.from_numpy(inside[:, 0, :, None] & inside[:, 1, None, :]).to(x.device)[:, None]
    x = x.float()
    shown = x[:, : x.shape[1] - planes]
    cut = torch.where(hole, shown.mean((2, 3), keepdim=True), shown)
    return torch.cat([cut, x[:, x.shape[1] - planes :]], dim=1) if planes else cut
