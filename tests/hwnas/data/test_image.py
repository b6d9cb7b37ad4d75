"""Decoding: every mode becomes plain pixels, every damage one error."""

import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hwnas.data import image as image_module
from hwnas.data.image import decode, deep_range, fit, round_size, short_side_px
from targets.errors import DamagedFileError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_keep_the_pixels(kind: str) -> None:
    square = NOISE[:30]
    got = decode(encode(Image.fromarray(square), kind), "x", 30, 3)
    assert (got == square.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_stay_close(kind: str) -> None:
    smooth = np.add.outer(np.arange(32) * 4, np.arange(32) * 3).astype(np.uint8)
    raw = encode(Image.fromarray(np.stack([smooth, smooth, 255 - smooth], axis=-1)), kind, quality=95)
    got = decode(raw, "x", 32, 3).astype(int)
    assert np.abs(got - np.stack([smooth, smooth, 255 - smooth])).mean() <= 2


def test_the_central_square_is_kept() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 20, 30)
    got = decode(encode(Image.fromarray(wide), "PNG"), "x", 16, 3)
    # The filter looks one pixel beyond the square.
    assert (got[:, :, 1:-1] == np.array([10, 20, 30], np.uint8)[:, None, None]).all()


def test_shrinking_averages_instead_of_skipping() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)  # every second pixel white
    got = fit(Image.fromarray(board), 16)
    assert np.abs(got.astype(int) - 127).max() <= 2


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (20, 20), 100), (100, 100, 100)),
        (Image.new("1", (20, 20), 1), (255, 255, 255)),
        (Image.new("RGBA", (20, 20), (0, 0, 0, 0)), (255, 255, 255)),  # nothing, on white
        (Image.new("RGBA", (20, 20), (9, 8, 7, 255)), (9, 8, 7)),
        (Image.new("LA", (20, 20), (50, 255)), (50, 50, 50)),
        (Image.fromarray(np.full((20, 20), 51 * 257, np.uint16)), (51, 51, 51)),  # 16 bits
        (Image.new("RGB", (20, 20), (1, 2, 3)).quantize(4), (1, 2, 3)),  # palette
    ],
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, ...]) -> None:
    got = decode(encode(image, "PNG"), "x", 16, 3)
    assert (got == np.array(expected, np.uint8)[:, None, None]).all()


def test_colour_becomes_grey_where_one_channel_is_asked_for() -> None:
    got = decode(encode(Image.new("RGB", (20, 20), (255, 0, 0)), "PNG"), "x", 16, 1)
    assert got.shape == (1, 16, 16)
    assert (got == 76).all()  # ITU-R 601: 0.299 * 255


def test_a_photo_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    left_white = np.zeros((32, 32, 3), np.uint8)
    left_white[:, :16] = 255
    got = decode(encode(Image.fromarray(left_white), "JPEG", exif=exif, quality=95), "x", 32, 3)
    assert got[:, :15].min() > 200 and got[:, 17:].max() < 50  # the left side is now the top


def test_a_large_jpeg_is_decoded_small() -> None:
    smooth = np.add.outer(np.arange(1024) // 8, np.arange(1024) // 8).astype(np.uint8)
    raw = encode(Image.fromarray(smooth), "JPEG", quality=95)
    exact = fit(Image.fromarray(smooth), 64).astype(int)
    assert np.abs(decode(raw, "x", 64, 1) - exact).max() <= 4


def test_header_gives_the_short_side() -> None:
    assert short_side_px(encode(Image.fromarray(NOISE), "PNG"), "x") == 30


@pytest.mark.parametrize(
    ("side", "size"), [(1, 16), (28, 32), (32, 32), (39, 32), (41, 48), (230, 224), (4000, 224)]
)
def test_sizes_are_rounded_to_16(side: int, size: int) -> None:
    assert round_size(side) == size


def test_an_empty_file_says_so() -> None:
    with pytest.raises(
        DamagedFileError, match=r"cat/1.jpg: the image is empty \(0 bytes\); replace or remove"
    ):
        decode(b"", "cat/1.jpg", 16, 3)


def test_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "MAX_PIXELS", 1000)
    with pytest.raises(DamagedFileError, match="30 x 40 pixels"):
        decode(encode(Image.fromarray(NOISE), "PNG"), "x", 16, 3)


def test_only_image_decoders_run() -> None:
    # EPS would start Ghostscript.
    with pytest.raises(DamagedFileError, match="cannot be read as an image"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "x.png", 16, 3)


ENCODED = [
    encode(Image.fromarray(NOISE), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ENCODED), st.integers(0, 2**32), st.booleans())
def test_damaged_bytes_give_pixels_or_one_error(raw: bytes, seed: int, cut: bool) -> None:
    rng = random.Random(seed)
    data = bytearray(raw[: rng.randrange(len(raw))] if cut else raw)
    for _ in range(rng.randrange(1, 5)):
        if data:
            data[rng.randrange(min(len(data), rng.choice([64, 512, len(data)])))] = rng.randrange(256)
    try:
        assert decode(bytes(data), "file", 16, 3).shape == (3, 16, 16)
    except DamagedFileError as error:
        assert "file" in str(error)


def test_the_range_of_deep_images_is_scaled() -> None:
    """Twelve bits in sixteen: 4095 is white. Floats: what the levels say."""
    grey = encode(Image.fromarray(np.full((20, 20), 819, np.uint16)), "PNG")
    assert decode(grey, "x", 16, 1, (0, 4095)).max() == 51  # 819 / 4095 = 1 / 5
    real = encode(Image.fromarray(np.full((20, 20), 0.25, np.float32)), "TIFF")
    assert decode(real, "x", 16, 1, (0, 1)).max() == 64
    found = deep_range(grey, "x")
    assert found is not None and found[1:] == (819, 819)
    assert deep_range(encode(Image.fromarray(NOISE), "PNG"), "x") is None


def test_large_texts_in_a_png_are_left_out() -> None:
    info = PngInfo()
    info.add_text("comment", "x" * 2_000_000, zip=True)
    square = NOISE[:30]
    got = decode(encode(Image.fromarray(square), "PNG", pnginfo=info), "x", 30, 3)
    assert (got == square.transpose(2, 0, 1)).all()
