"""Counted by hand for 10 x 10 pixels of output."""

from __future__ import annotations

import pytest

from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.int8 import Window, conv_work, product_work

PIXELS = 100
POINT, STRIDED, THREE = Window(1, 1, 1, False), Window(1, 1, 1, True), Window(3, 3, 1, True)


def test_aligned_channels_are_fused_on_tiles_of_six_pixels() -> None:
    work = conv_work(PIXELS, 1, 8, 20, THREE)
    assert (work.way, work.macs) == ("fused", 102 * 32 * 72)
    assert (work.gathers, work.scratch_bytes) == (900, 7200)


def test_a_pointwise_step_reads_in_place_unless_it_strides() -> None:
    assert conv_work(PIXELS, 1, 8, 16, POINT).gathers == 0
    assert conv_work(PIXELS, 1, 8, 16, STRIDED).gathers == 100


@pytest.mark.parametrize(("c_in", "c_out"), [(6, 16), (8, 18), (8, 12), (3, 16)])
def test_odd_or_few_channels_become_a_product(c_in: int, c_out: int) -> None:
    work = conv_work(PIXELS, 1, c_in, c_out, THREE)
    padded_k = -(-9 * c_in // 64) * 64
    assert (work.way, work.macs) == ("product", 112 * (-(-c_out // 16) * 16) * padded_k)
    assert work.gathers == 300  # three rows of the window per pixel
    assert work.scratch_bytes == 4 * 100 * c_out + 100 * 9 * c_in


def test_groups_are_products_of_their_own_whose_windows_are_copied_pixel_by_pixel() -> None:
    work = conv_work(PIXELS, 4, 4, 4, THREE)
    assert (work.way, work.macs, work.gathers) == ("product", 4 * 112 * 16 * 64, 4 * 900)
    assert conv_work(PIXELS, 1, 6, 16, Window(3, 3, 2, True)).gathers == 900  # dilated: no row in one piece


@pytest.mark.parametrize(("channels", "way", "sums"), [(32, "fused", 0), (24, "loose", 9600)])
def test_depthwise_channels_go_by_sixteen(channels: int, way: str, sums: int) -> None:
    work = conv_work(PIXELS, channels, 1, 1, THREE)
    assert (work.way, work.macs, work.scratch_bytes) == (way, 102 * 32 * 9, 7200 + sums)


def test_two_outputs_per_channel_are_no_depthwise_convolution() -> None:
    assert conv_work(PIXELS, 32, 1, 2, THREE).way == "product"


def test_a_matrix_product_is_padded_to_its_tiles() -> None:
    assert product_work(3, 1, 10, 65).macs == 3 * 16 * 16 * 128


def test_the_way_is_part_of_the_kind(make) -> None:
    def kind(c_in: int, c_out: int, groups: int = 1) -> str:
        one = make(
            "QLinearConv",
            [[1, 10, 10, c_in]],
            [1, 10, 10, c_out],
            weights=[[c_out, c_in // groups, 3, 3]],
            group=groups,
            channels_last=1,
            pads=[1, 1, 1, 1],
            element_type="uint8",
        )
        return features_of([one])[0].kind

    assert kind(8, 16) == "int8 QLinearConv 3x3"
    assert kind(6, 16) == "int8 QLinearConv 3x3 product"
    assert kind(3, 16) == "int8 QLinearConv stem"
    assert kind(24, 24, 24) == "int8 QLinearConv depthwise 3x3 loose"
    assert kind(32, 64, 32) == "int8 QLinearConv grouped"
