"""Spaces: what derives from the choices holds for every architecture; `mobile` scales to the image."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.core.choice import Choice
from hwnas.core.network_space import NetworkSpace
from hwnas.core.space import Space
from hwnas.spaces import load_space
from targets.errors import UsageError
from tests.support.spaces import mobile_space

MOBILE = mobile_space()
TOY = Space("toy", [Choice("a", ("x", "y", "z")), Choice("b.0", ("p", "q")), Choice("b.1", ("p", "q"))])
archs = st.integers(0, 2**32 - 1).map(lambda seed: MOBILE.sample(np.random.default_rng(seed)))


@given(archs)
def test_strings_come_back_and_encodings_are_one_hot(arch: tuple[int, ...]) -> None:
    assert MOBILE.from_string(MOBILE.to_string(arch)) == arch
    encoding = MOBILE.encode([arch])
    assert encoding.sum() == len(MOBILE.choices)
    first = np.cumsum([0, *MOBILE.n_options[:-1]])
    assert np.flatnonzero(encoding[0]).tolist() == (first + np.array(arch)).tolist()


@given(archs, archs, st.integers(0, 1000))
def test_variation_stays_in_the_space(a: tuple[int, ...], b: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    child, mutant = MOBILE.cross_over(a, b, rng), MOBILE.mutate(a, rng)
    for arch in (child, mutant):
        assert MOBILE.valid(arch)
        assert MOBILE.canonical(arch) == arch
    assert mutant != a
    skips = [len(c.options) - 1 for c in MOBILE.choices]
    if not any(c == s for c, s in zip(child, skips, strict=True)):  # no gene moved past a skipped layer
        assert all(c in (x, y) for c, x, y in zip(child, a, b, strict=True))


@given(archs)
def test_canonical_is_the_same_network(arch: tuple[int, ...]) -> None:
    stage = MOBILE.stages[1]
    layers = [i for i in stage.layers if i != stage.layers[0]]
    skip = len(MOBILE.choices[layers[-1]].options) - 1
    moved = list(arch)
    moved[layers[0]] = skip
    if len(layers) > 1:
        moved[layers[-1]] = 0
    assert MOBILE.block_keys(tuple(moved)) == MOBILE.block_keys(MOBILE.canonical(tuple(moved)))
    assert MOBILE.key(tuple(moved)) == MOBILE.key(MOBILE.canonical(tuple(moved)))


def test_enumeration_of_a_toy_space_is_its_product() -> None:
    assert len(list(TOY.enumerate())) == TOY.size == 12
    assert TOY.to_string((0, 1, 0)) == "x/q:p"


@pytest.mark.parametrize(
    ("size", "last"), [(16, 4), (32, 4), (48, 6), (64, 4), (96, 6), (128, 4), (160, 5), (224, 7)]
)
def test_the_last_map_is_4_to_7_pixels(size: int, last: int) -> None:
    space = mobile_space(image_size=size)
    heads = [b for b in space.blocks().values() if b.kind == "head"]
    assert {b.size for b in heads} == {last}


def test_depth_and_width_grow_with_the_image() -> None:
    counts = [
        len(load_space("mobile", image_size=s, in_channels=3, n_classes=10).choices)
        for s in (16, 32, 64, 224)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_the_spec_makes_the_same_space_again() -> None:
    again = load_space(**MOBILE.spec())
    assert again.space_id == MOBILE.space_id
    assert again.choices == MOBILE.choices


def test_another_scale_is_another_space() -> None:
    ids = {
        load_space("mobile", image_size=s, in_channels=c, n_classes=n, width_mult=w).space_id
        for s, c, n, w in [
            (32, 3, 10, 0.5),
            (32, 3, 10, 1.0),
            (32, 1, 10, 0.5),
            (32, 3, 100, 0.5),
            (48, 3, 10, 0.5),
        ]
    }
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no architecture"),
        ("16:mb3e3", "is no architecture"),
        (
            MOBILE.to_string(tuple(0 for _ in MOBILE.choices)).replace("mb3e1", "mb4e3", 1),
            "unknown option 'mb4e3'",
        ),
    ],
)
def test_a_string_of_another_space_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        MOBILE.from_string(text)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "mobil"}, "did you mean 'mobile'"),
        ({"image_size": 8}, "outside 16 to 224"),
        ({"width_mult": float("nan")}, "outside 0.25 to 8"),
        ({"name": "/nowhere/x.toml"}, "does not exist"),
    ],
)
def test_bad_arguments_get_one_clear_error(arguments: dict[str, Any], says: str) -> None:
    good: dict[str, Any] = {"name": "mobile", "image_size": 32, "in_channels": 3, "n_classes": 10}
    with pytest.raises(UsageError, match=says):
        load_space(**{**good, **arguments})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("depth = 2", "dept = 2", "unknown key stages\\[1\\].dept; .*did you mean 'depth'"),
        ("depth = 2", "depth = 0", "depth = 0 must lie in 1 to 32"),
        ("depth = 2", "depth = true", "must be given as int"),
        ("widths = \\[16, 24\\]", "widths = []", "widths must be a list"),
        ("widths = \\[16, 24\\]", "widths = [true, 24]", "widths must be a list"),  # not 1
        ("widths = \\[16, 24\\]", "widths = [16, 16]", "different channel counts"),
        ("widths = \\[16, 24\\]", f"widths = {list(range(1, 400))}", "different blocks, at most 100,000"),
        ('"mb3e3", "mb5e3"', '"mb3e3", "mb9e3"', "unknown operation 'mb9e3'"),
        ('"mb3e3", "mb5e3"', '"mb3e3", "mb3e3"', "different names"),
        ('"mb3e3", "mb5e3"', '"mb3e3", "skip"', "leave it out"),
    ],
)
def test_a_faulty_stage_file_names_the_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    import re

    import hwnas.spaces

    text = (Path(hwnas.spaces.__file__).parent / "mobile.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(re.sub(old, new.replace("\\", ""), text, count=1))
    with pytest.raises(UsageError, match=says):
        load_space(str(path), image_size=32, in_channels=3, n_classes=10)


def test_a_users_stage_file_makes_a_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'operations = ["mb3e3", "fused3e3"]\n[stem]\nchannels = 8\nstride = 1\n[head]\nchannels = 32\n'
        "[[stages]]\nwidths = [8]\ndepth = 5\nstride = 2\n"
    )
    space: NetworkSpace = load_space(str(path), image_size=32, in_channels=1, n_classes=3, width_mult=1)
    assert [c.options for c in space.choices] == [
        ("8",),
        ("mb3e3", "fused3e3"),
        *[("mb3e3", "fused3e3", "skip")] * 2,
    ]
    assert load_space(**space.spec()).space_id == space.space_id


def test_a_space_loads_no_torch() -> None:
    code = "import sys, hwnas.core.network_space; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
