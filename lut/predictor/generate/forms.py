"""The forms of networks to profile: how large, how wide, how deep, and how often each is dealt."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENT_COST = 10  # pointwise kernels move memory where convolutions compute


@dataclass(frozen=True, slots=True)
class Form:
    """A form of networks on images.

    cost: of a network, log-uniform between these; a MAC costs 1, an element written `ELEMENT_COST`.
    sizes: of images in pixels. image_channels: of these. blocks: kinds of blocks. stems: dealt.
    widths: factors on the usual channels. least_px: of the smallest map.
    head: parameters of the head as a share of the cost; None: what the budget of parameters leaves.
    kinds: of blocks in a network whose blocks of a kind are alike, as in most networks; (): every stage is
        of a kind of its own, and every block is drawn anew. Kernels are slower in these, by up to 15 % in
        small ones: the caches also hold code.
    favoured: kinds of blocks that are dealt `FAVOUR` times as often.
    """

    name: str
    cost: tuple[float, float]
    sizes: tuple[int, ...]
    blocks: tuple[int, ...]
    stems: int = 3
    widths: tuple[float, ...] = (1.0,)
    least_px: int = 4
    image_channels: tuple[int, ...] = (3,)
    head: float | None = None
    kinds: tuple[int, ...] = ()
    favoured: tuple[str, ...] = ()


FAVOUR = 6
_USUAL = ("inverted", "inverted_se", "separable", "fused", "basic", "plain", "bottleneck", "cell")

FORMS = (
    Form(
        name="large",
        cost=(1.2e7, 8e9),
        sizes=(32, 48, 64, 96, 112, 128, 160, 176, 192, 224, 224, 224, 224, 224, 240, 256, 288, 299),
        blocks=(8, 9, 10, 11, 12),
    ),
    Form(
        name="narrow",  # what is searched on small images: few channels, few blocks
        cost=(3e4, 8e6),
        sizes=(16, 16, 20, 24, 28, 32, 32, 32, 40, 48, 64),
        blocks=(1, 1, 2, 2, 3, 4, 5),
        stems=1,
        widths=(0.125, 0.25, 0.25, 0.5),
        least_px=2,
        image_channels=(3, 3, 3, 1, 2),
        head=0.3,
        kinds=(1, 1, 1, 2, 2, 3, 5),
        favoured=_USUAL,
    ),
    Form(
        name="shrunk",  # usual networks on images smaller than they were made for
        cost=(1e6, 6e7),
        sizes=(32, 32, 48, 64, 64, 96, 128),
        blocks=(3, 4, 5, 6),
        stems=1,
        kinds=(1, 1, 1, 2, 3, 5),
        favoured=_USUAL,
        widths=(0.35, 0.5, 0.5, 0.75, 1.0),
        least_px=1,
        image_channels=(3, 3, 3, 1),
        head=0.3,
    ),
)


TURNS = (
    "large", "narrow", "operators", "large", "narrow", "shrunk", "large", "narrow", "series", "shrunk",
    "large", "narrow", "operators", "large", "narrow", "shrunk", "large", "narrow", "vectors", "words",
)  # fmt: skip
"""The order of the forms. Small ones cost a device a tenth of a large one."""
