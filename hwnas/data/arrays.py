"""A source whose images already lie in memory as one array; what the named data sets are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from .image import fit
from .masks import fit_mask
from .source import Listing


@dataclass(frozen=True, eq=False)
class ArraySource:
    """pixels: (n, h, w) grey, (n, h, w, 3) colour, or (n, h, w, 4) colour and a mask; uint8."""

    listing: Listing
    pixels: npt.NDArray[np.uint8]
    size_px: int

    def natural_size(self) -> int:
        """Fixed by who made the source."""
        return self.size_px

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """One image, scaled where its size differs."""
        image: npt.NDArray[np.uint8] = self.pixels[index]
        if image.shape[:2] == (image_size, image_size):
            return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        planes = self.listing.task.planes
        if not planes:
            return fit(Image.fromarray(image), image_size)
        shown = fit(Image.fromarray(np.ascontiguousarray(image[..., :-planes])), image_size)
        mask = fit_mask(np.ascontiguousarray(image[..., -1]), image_size)
        return np.concatenate([shown, mask[None]])

    def content_key(self, index: int) -> bytes:
        """The pixels themselves."""
        image: npt.NDArray[np.uint8] = self.pixels[index]
        return image.tobytes()
