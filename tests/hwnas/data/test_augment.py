"""Augmentation: each operation against what it means pixel by pixel."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data import Augment
from hwnas.data.augment import affine, cut_out, move
from targets.errors import UsageError


def noise(n: int = 4, channels: int = 3, size: int = 16) -> torch.Tensor:
    values = np.random.default_rng(0).integers(0, 256, (n, channels, size, size), dtype=np.uint8)
    return torch.from_numpy(values)


def still(n: int, **changes: np.ndarray) -> dict[str, Any]:
    return {
        "angle": np.zeros(n),
        "zoom": np.ones(n),
        "shift": np.zeros((n, 2)),
        "mirrored": np.zeros(n, bool),
    } | changes


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8), st.booleans()), min_size=1, max_size=4))
def test_move_is_pad_by_reflection_then_crop_then_mirror(moves: list[tuple[int, int, bool]]) -> None:
    x = noise(len(moves))
    shift = np.array([move[:2] for move in moves], np.int64)
    mirrored = np.array([move[2] for move in moves])
    got = move(x, shift, mirrored)
    for image, moved, (dy, dx, mirror) in zip(x.numpy(), got.numpy(), moves, strict=True):
        padded = np.pad(image, ((0, 0), (8, 8), (8, 8)), mode="reflect")
        expected = padded[:, 8 + dy : 24 + dy, 8 + dx : 24 + dx]
        assert (moved == (expected[:, :, ::-1] if mirror else expected)).all()


def test_affine_without_change_is_the_image() -> None:
    x = noise()
    assert torch.allclose(affine(x, **still(4)), x.float(), atol=1e-2)


def test_affine_by_a_quarter_turn_is_rot90() -> None:
    x = noise()
    got = affine(x, **still(4, angle=np.full(4, np.pi / 2)))
    turned = [torch.rot90(x.float(), k, (2, 3)) for k in (1, 3)]
    assert any(torch.allclose(got, each, atol=1e-2) for each in turned)


def test_affine_shifts_by_pixels_and_fills_with_black() -> None:
    x = noise()
    got = affine(x, **still(4, shift=np.tile([2.0, -3.0], (4, 1))))
    assert torch.allclose(got[:, :, :-2, 3:], x.float()[:, :, 2:, :-3], atol=1e-2)
    assert got[:, :, -2:].abs().max() < 1e-2 and got[:, :, :, :3].abs().max() < 1e-2


def test_affine_mirrors() -> None:
    x = noise()
    got = affine(x, **still(4, mirrored=np.array([True, False, True, False])))
    assert torch.allclose(got[0::2], x.float()[0::2].flip(3), atol=1e-2)
    assert torch.allclose(got[1::2], x.float()[1::2], atol=1e-2)


def test_affine_zoom_enlarges() -> None:
    x = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    x[:, :, 6:10, 6:10] = 255  # a square of 4 x 4
    got = affine(x, **still(1, zoom=np.array([2.0])))
    assert got.sum().item() == pytest.approx(255 * 8 * 8, rel=0.1)


def test_cut_out_greys_one_square() -> None:
    x = noise(2)
    got = cut_out(x, np.array([[8, 8], [0, 15]]), 4)
    changed = (got != x.float()).any(1)
    assert changed[0].sum() == 16 and changed[0, 6:10, 6:10].all()
    assert changed[1].sum() == 6 and changed[1, :2, 13:].all()  # cut by the border
    hole = got[0, :, 8, 8]
    assert torch.allclose(hole, x[0].float().mean((1, 2)))


def test_the_amounts_stay_in_bounds() -> None:
    row = torch.arange(16, dtype=torch.uint8).repeat(512, 1, 16, 1)
    moved = Augment(shift=0.125).apply(row, np.random.default_rng(0))
    first = moved[:, 0, 0, 8].long() - 8  # by how much each image moved
    assert set(first.tolist()) == {-2, -1, 0, 1, 2}


def test_half_of_the_images_are_mirrored() -> None:
    row = torch.arange(16, dtype=torch.uint8).repeat(1000, 1, 16, 1)
    got = Augment(shift=0, flip=True).apply(row, np.random.default_rng(0))
    mirrored = (got[:, 0, 0, 0] == 15).sum().item()
    assert 400 < mirrored < 600
    assert (got[:, 0, 0, 0] == 0).sum().item() == 1000 - mirrored


def test_nothing_to_do_changes_nothing() -> None:
    x = noise()
    assert torch.equal(Augment(shift=0).apply(x, np.random.default_rng(0)), x)


@pytest.mark.parametrize(
    "wrong",
    [{"shift": -0.1}, {"shift": 0.6}, {"scale": 1.0}, {"cutout": float("nan")}, {"rotate_degrees": 181}],
)
def test_amounts_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(UsageError, match=f"augmentation: {name} is .*; allowed: 0 to"):
        Augment(**wrong)
