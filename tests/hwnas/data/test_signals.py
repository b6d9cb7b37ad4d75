"""Windows of sensors: from npz and CSV to standardised samples, without leaks; bad files have one answer."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import Augment, Batches, Data, file_batches, load_data
from hwnas.data.signal_augment import SignalAugment
from targets.errors import DamagedFileError, HwnasError, UsageError

N, T, C = 60, 32, 3


def write_npz(path: Path, **changes: object) -> Path:
    """Two classes of noise, 20 recordings of three windows."""
    rng = np.random.default_rng(0)
    arrays: dict[str, object] = {
        "x": rng.normal([0.0, 5.0, -100.0], [1.0, 0.1, 30.0], (N, T, C)).astype(np.float32),
        "y": np.arange(N) // 3 % 2,
        "groups": np.arange(N) // 3,
        "names": np.array(["rest", "walk"]),
    }
    arrays |= changes
    known: Any = {k: np.asarray(v) for k, v in arrays.items() if v is not None}
    np.savez(path, **known)
    return path


def write_csv(path: Path, rows_of: dict[str, int], label: Callable[[str, int], str], extra: str = "") -> Path:
    """Recordings by name and length, shuffled; a channel that counts and one that is noise."""
    rng = np.random.default_rng(0)
    rows = [
        f"{name},{t},{t},{rng.normal():.4f},{label(name, t)}{extra}"
        for name, length in rows_of.items()
        for t in range(length)
    ]
    order = rng.permutation(len(rows))
    path.write_text(
        "\n".join(
            ["recording,time,count,noise,label" + (",split" if extra else "")] + [rows[i] for i in order]
        )
    )
    return path


def load(path: Path, home: Path, **options: object) -> Data:
    return load_data(str(path), None, 0, root=home, **options)  # type: ignore[arg-type]


class TestNpz:
    def test_windows_are_standardised_by_the_training_windows(self, tmp_path: Path) -> None:
        data = load(write_npz(tmp_path / "w.npz"), tmp_path)
        assert (data.kind.name, data.sample_shape, data.class_names) == (
            "window",
            (C, 1, T),
            ("rest", "walk"),
        )
        raw = np.load(tmp_path / "w.npz")["x"][data.split("train")].astype(np.float64)
        np.testing.assert_allclose(data.mean, raw.mean((0, 1)), rtol=1e-6)
        np.testing.assert_allclose(data.std, raw.std((0, 1)), rtol=1e-6)
        x, _ = Batches(data, "train", len(data.split("train")), 0).at(0)
        assert x.mean((0, 2, 3)).abs().max() < 1e-4
        assert (x.std((0, 2, 3)) - 1).abs().max() < 1e-2

    def test_files_are_fed_raw_values(self, tmp_path: Path) -> None:
        data = load(write_npz(tmp_path / "w.npz"), tmp_path)
        x, _ = next(file_batches(data, "test", 4))
        raw = np.load(tmp_path / "w.npz")["x"][data.split("test")[:4]]
        np.testing.assert_array_equal(x[:, :, 0].numpy(), raw.transpose(0, 2, 1))

    def test_no_recording_is_in_two_splits(self, tmp_path: Path) -> None:
        data = load(write_npz(tmp_path / "w.npz"), tmp_path)
        groups = [set((data.split(name) // 3).tolist()) for name in ("train", "val", "test")]
        assert sum(map(len, groups)) == N // 3 == len(set.union(*groups))

    def test_splits_and_numbers_are_taken_as_given(self, tmp_path: Path) -> None:
        y = np.random.default_rng(1).normal(size=(N, 2))
        split = np.array(["train", "val", "test"])[np.arange(N) // 3 % 3]
        path = write_npz(tmp_path / "w.npz", y=y, split=split, names=np.array(["knee", "hip"]))
        data = load(path, tmp_path, task="regression")
        assert data.class_names == ("knee", "hip")
        np.testing.assert_allclose(data.labels, y, rtol=1e-6)
        assert data.split("val").tolist() == np.flatnonzero(split == "val").tolist()

    @pytest.mark.parametrize(
        ("changes", "error", "says"),
        [
            ({"x": None}, UsageError, r"no x among y, groups, names; expected x of shape"),
            ({"y": None}, UsageError, "no y among x, groups, names"),
            ({"x": np.zeros((N, T), np.float32)}, UsageError, r"float32 of shape \(60, 32\)"),
            ({"x": np.full((N, T, C), "a")}, UsageError, "expected numbers"),
            ({"y": np.arange(5)}, UsageError, "x has 60 windows and y 5 rows"),
            ({"y": np.array([object()] * N)}, UsageError, "y is an array of Python objects"),
            ({"y": np.full(N, 7)}, UsageError, "y numbers the 2 names from 0 on, and holds 7 to 7"),
            (
                {"x": np.full((N, T, C), np.nan)},
                DamagedFileError,
                "60 of 60 windows .* first in window 0, channel 0",
            ),
            ({"x": np.full((N, T, C), 1e39)}, DamagedFileError, "no numbers or beyond 3.4e38"),
            ({"y": np.full(N, np.nan)}, DamagedFileError, "y is no number for 60 of 60 windows"),
            ({"y": np.array(["", "b"] * 30)}, UsageError, "y is empty for 30 of 60 windows, the first is 0"),
            ({"y": np.zeros((N, 0))}, UsageError, r"y is float64 of shape \(60, 0\)"),
            ({"x": np.ones((N, 8, C))}, UsageError, "windows of 8 samples; allowed: 16 to 16384"),
            ({"split": np.full(N, "left")}, UsageError, "split 'left'; allowed"),
            (
                {"groups": np.arange(N) % 2},
                UsageError,
                r"too few groups of the classes rest \(2\), walk \(2\)",
            ),
        ],
    )
    def test_bad_files_have_one_answer(
        self, tmp_path: Path, changes: dict[str, object], error: type[HwnasError], says: str
    ) -> None:
        with pytest.raises(error, match=says):
            load(write_npz(tmp_path / "w.npz", **changes), tmp_path)

    def test_a_file_that_is_no_archive_is_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "w.npz"
        path.write_bytes(b"PK\3\4 and no more")
        with pytest.raises(DamagedFileError, match=r"is damaged or no \.npz file"):
            load(path, tmp_path)

    @pytest.mark.parametrize("shape", [None, (10**12, 64, 3)])
    def test_a_file_whose_arrays_are_none_is_damaged(
        self, tmp_path: Path, shape: tuple[int, ...] | None
    ) -> None:
        content = io.BytesIO(b"" if shape else b"no array")
        if shape:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(content, header)
        path = tmp_path / "w.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content.getvalue())
            archive.writestr("y.npy", content.getvalue())
        with pytest.raises(DamagedFileError, match=r"x (is no array of numpy|cannot be read)"):
            load(path, tmp_path)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"window": 32}, "--window: it cuts recordings in a CSV"),
            ({"labels_csv": "x.csv"}, "--labels: it lists the files of a folder"),
            ({"group_column": "g"}, "--group-column: it needs a CSV"),
        ],
    )
    def test_options_of_other_data_are_refused(
        self, tmp_path: Path, options: dict[str, object], says: str
    ) -> None:
        with pytest.raises(UsageError, match=says):
            load(write_npz(tmp_path / "w.npz"), tmp_path, **options)

    @pytest.mark.parametrize("option", ["window", "hop", "clip_seconds"])
    def test_images_and_named_sets_refuse_them_too(self, tmp_path: Path, option: str) -> None:
        folder = tmp_path / "photos"
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True)
            Image.new("RGB", (16, 16)).save(folder / name / "1.png")
        for spec in (folder, "gestures"):
            with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}: it .*leave it out"):
                load(Path(spec), tmp_path, **{option: 32})

    def test_an_image_size_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            UsageError, match="--image-size is for images, and the windows of w are 32 samples"
        ):
            load_data(str(write_npz(tmp_path / "w.npz")), 64, 0, root=tmp_path)


class TestRecordings:
    LENGTHS: ClassVar = {f"r{i}": 70 + i for i in range(12)}

    def test_windows_are_cut_in_the_order_of_time(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "r.csv", self.LENGTHS, lambda name, t: "ab"[int(name[1:]) % 2])
        data = load(path, tmp_path, window=32, hop=16)
        starts = {name: [16 * k for k in range((n - 32) // 16 + 1)] for name, n in self.LENGTHS.items()}
        assert len(data.labels) == sum(map(len, starts.values()))
        first = data.images([0])[0]
        assert first[0, 0].tolist() == list(range(32))  # the channel that counts
        assert "count, noise" in data.preprocessing

    def test_windows_of_a_recording_share_a_split(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "r.csv", self.LENGTHS, lambda name, t: "ab"[int(name[1:]) % 2])
        data = load(path, tmp_path, window=32, hop=8)
        document = data.splits_json()
        recordings = [{name.split("@")[0] for name in document[s]} for s in ("train", "val", "test")]
        assert sum(map(len, recordings)) == 12 == len(set.union(*recordings))

    def test_windows_with_two_labels_are_left_out(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "r.csv", self.LENGTHS, lambda name, t: "a" if t < 40 else "b")
        data = load(path, tmp_path, window=16)
        assert any("label changes are left out: 12" in note for note in data.notes)

    def test_numbers_are_averaged_over_the_window(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "r.csv", self.LENGTHS, lambda name, t: str(t))
        data = load(path, tmp_path, window=32, task="regression", label_columns=["label"])
        assert data.labels[0, 0] == pytest.approx(15.5)  # the mean of 0 to 31

    @pytest.mark.parametrize(
        ("text", "options", "says"),
        [
            (
                "recording,ax,label\nr,1,a\n",
                {"window": 100},
                "no recording has 100 samples, the longest has 1",
            ),
            ("recording,ax,label\nr,,a\n", {"window": 16}, "row 2: ax is '', which is no number"),
            ("recording,ax,label\nr,nan,a\n", {"window": 16}, "row 2: ax is 'nan'"),
            ("ax,label\n1,a\n", {"window": 16}, "no recording column among"),
            ("recording,label\nr,a\n", {"window": 16}, "no column is left for the values of a sensor"),
            ("recording,ax,label\n,1,a\n", {"window": 16}, "row 2: the recording is empty"),
            ("recording,ax,label\nr,1\n", {"window": 16}, "row 2: 2 cells, and the header has 3"),
            ("recording,ax,label\nr,1,5,a\n", {"window": 16}, "row 2: 4 cells, and the header has 3"),
            ("recording,ax,label\nr,1,\n", {"window": 16}, "row 2: the label is empty"),
            ("recording,ax,label\n\nr,x,a\n", {"window": 16}, "row 2: is empty"),
            (
                "recording,ax,label\nr,1e39,a\n",
                {"window": 16},
                "row 2: ax is '1e39', which is no number up",
            ),
            ("recording,ax,label\nr,1,a\n", {"hop": 16}, "--hop: it cuts recordings"),
            ("recording,ax,label\nr,1,a\n", {"window": 0}, "--window is 0; allowed: 16 to 16,384"),
            ("recording,ax,label\nr,1,a\n", {"window": 16, "hop": 0}, "--hop is 0; allowed: 1 to"),
            ("recording,ax,label\nr,1,a\n", {}, "no file column .* give --window too"),
        ],
    )
    def test_bad_tables_have_one_answer(
        self, tmp_path: Path, text: str, options: dict[str, object], says: str
    ) -> None:
        path = tmp_path / "r.csv"
        path.write_text(text)
        with pytest.raises(HwnasError, match=says):
            load(path, tmp_path, **options)

    def test_one_recording_per_class_is_too_few(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "r.csv", {"r1": 200, "r2": 200}, lambda name, t: name)
        says = r"too few recordings of the classes r1 \(1\), r2 \(1\).* at least 3: add recordings"
        with pytest.raises(UsageError, match=says):
            load(path, tmp_path, window=32)


class TestGestures:
    def test_persons_are_in_one_split(self, tmp_path: Path) -> None:
        data = load_data("gestures", None, 0, root=tmp_path)
        document = data.splits_json()
        persons = [{name[:9] for name in document[s]} for s in ("train", "val", "test")]
        assert [len(p) for p in persons] == [18, 6, 6]
        assert len(set.union(*persons)) == 30

    def test_a_window_to_draw_no_picture_of_is_said_in_its_own_words(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=re.escape("a limit of 5 windows leaves a class without any")):
            load_data("gestures", None, 0, root=tmp_path, limit=5)


class TestChanges:
    MEAN, STD = (10.0, -2.0), (2.0, 0.5)

    def changes(self, **options: float) -> SignalAugment:
        none = {"shift": 0.0, "scale": 0.0, "jitter": 0.0}
        return SignalAugment(mean=self.MEAN, std=self.STD, **{**none, **options})

    def x(self) -> torch.Tensor:
        return torch.arange(2 * 2 * 40, dtype=torch.float32).reshape(2, 2, 1, 40)

    def test_nothing_changes_without_amounts(self) -> None:
        torch.testing.assert_close(self.changes().apply(self.x(), np.random.default_rng(0)), self.x())

    def test_a_shift_keeps_order(self) -> None:
        y = self.changes(shift=0.25).apply(self.x(), np.random.default_rng(1))[0, 0, 0]
        steps = y.diff()
        assert (steps == 1).sum() >= 29  # at most ten of forty are reflected
        assert set(steps.tolist()) <= {1.0, -1.0}

    def test_jitter_is_in_units_of_the_channel(self) -> None:
        x = torch.zeros(64, 2, 1, 500)
        y = self.changes(jitter=0.1).apply(x, np.random.default_rng(0))
        torch.testing.assert_close(y.std((0, 2, 3)), 0.1 * torch.tensor(self.STD), rtol=0.02, atol=0)

    def test_scale_keeps_the_mean(self) -> None:
        x = torch.tensor(self.MEAN).reshape(1, 2, 1, 1).expand(3, 2, 1, 20)
        torch.testing.assert_close(self.changes(scale=0.5).apply(x, np.random.default_rng(0)), x)

    def test_cutout_is_the_mean(self) -> None:
        y = self.changes(cutout=0.2).apply(self.x() + 1000, np.random.default_rng(0))
        assert 1 <= (y[0, 0] == self.MEAN[0]).sum() <= 8

    def test_windows_have_changes_of_their_own(self, tmp_path: Path) -> None:
        data = load(write_npz(tmp_path / "w.npz"), tmp_path)
        assert isinstance(Augment.for_data(data), SignalAugment)
