"""What a search has to beat: MobileNetV3-small at several widths, and two models without convolutions.

The network is torchvision's, trained by the recipe of the picks. The support vector machine and the
linear model see raw pixels; their penalties are chosen on the validation split, and the test split is
read once, for the figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from targets.errors import UsageError

WIDTHS = (0.25, 0.35, 0.5, 0.65, 0.75, 0.9, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)


def mobilenet_v3_small(width: float, image_size: int, in_channels: int, n_classes: int) -> nn.Module:
    """MobileNetV3-small [1] × `width`, adapted to small images: (b, c, h, w) -> (b, n_classes).

    Of the five strides of 2 in torchvision's network the first `n_down(image_size)` are kept, which is the
    rule of the `mobile` space: the last map is 4 to 7 pixels wide. Its batch normalisation uses torch's
    momentum of 0.1 in place of 0.01: in a short training the slow averages never arrive at the statistics
    of the final weights.

    [1] Howard et al. 2019, Searching for MobileNetV3, table 2.
    """
    from torchvision.models import mobilenet_v3_small as torchvision_mobilenet

    from hwnas.spaces.mobile import n_down

    if not (math.isfinite(width) and 0.05 <= width <= 8):
        raise UsageError(f"mobilenet_v3_small: width {width} is outside 0.05 to 8")
    module: nn.Module = torchvision_mobilenet(
        weights=None, width_mult=width, num_classes=n_classes, norm_layer=nn.BatchNorm2d
    )
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    strided = [conv for conv in convs if conv.stride == (2, 2)]
    for conv in strided[n_down(image_size) :]:
        conv.stride = (1, 1)
    if in_channels != convs[0].in_channels:
        old = convs[0]
        new = nn.Conv2d(in_channels, old.out_channels, 3, old.stride[0], 1, bias=False)
        module.get_submodule("features.0").register_module("0", new)
    return module


def widths_within(
    latency_ms: Callable[[Sequence[float]], Sequence[float]],
    budget_ms: float,
    n: int,
    *,
    distinct: Callable[[float], object] = lambda width: width,
    grid: Sequence[float] = WIDTHS,
) -> list[float]:
    """At most `n` widths whose latency is inside the budget, evenly spread in log latency.

    latency_ms: widths -> latencies, measured together. distinct: what two widths share that are the same
    network (channels are rounded to 8). Fewer than `n`, down to none, where the grid has no more.
    """
    first: dict[object, float] = {}
    for width in sorted(grid):
        first.setdefault(distinct(width), width)
    widths = list(first.values())
    measured = zip(widths, latency_ms(widths), strict=True)
    inside = sorted((latency, width) for width, latency in measured if latency <= budget_ms)
    if len(inside) <= n:
        return sorted(width for _, width in inside)
    logs = np.log([latency for latency, _ in inside])
    chosen: set[int] = {len(inside) - 1}
    for wanted in np.linspace(logs[-1], logs[0], n)[1:]:
        free = [i for i in range(len(inside)) if i not in chosen]
        chosen.add(min(free, key=lambda i: abs(logs[i] - wanted)))
    return sorted(inside[i][1] for i in chosen)


class ImageData(Protocol):
    """What the pixel models need of a data set."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of every sample, (n,)."""

    def split(self, name: str) -> NDArray[np.int64]:
        """Sample indices of 'train', 'val' or 'test'."""

    def images(self, indices: NDArray[np.int64]) -> torch.Tensor:
        """uint8 (b, c, h, w)."""


@dataclass(frozen=True, slots=True)
class PixelModel:
    """A fitted model on raw pixels and what it scored."""

    name: str
    val_accuracy: float
    test_accuracy: float
    n_train: int
    n_train_available: int
    options: dict[str, float]


Predictor = Callable[[NDArray[np.float32]], NDArray[np.int64]]
Fits = Callable[[NDArray[np.float32], NDArray[np.int64]], Iterator[tuple[float, Predictor]]]
"""(pixels (n, d), labels (n,)) -> one fitted model per penalty."""


def svc_accuracy(data: ImageData, *, seed: int, max_train: int = 5000) -> PixelModel:
    """scikit-learn's SVC with the RBF kernel and gamma 'scale', C of 1 or 10 chosen on validation.

    At most `max_train` training images, drawn with `seed`: fitting grows with the square of their number.
    """
    return _best("svc", data, seed, max_train, _svcs)


def linear_accuracy(data: ImageData, *, seed: int, max_train: int = 50_000) -> PixelModel:
    """A linear classifier: ridge regression on ±1 targets, solved exactly; penalty chosen on validation."""
    return _best("linear", data, seed, max_train, _ridges)


def _svcs(x: NDArray[np.float32], y: NDArray[np.int64]) -> Iterator[tuple[float, Predictor]]:
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    gamma = 1 / (x.shape[1] * float(x.var()))
    # The kernel by matrix products: 10 × faster than inside libsvm for images of 3,072 numbers.
    gram = rbf_kernel(x, x, gamma)
    for penalty in (1.0, 10.0):
        fitted = SVC(C=penalty, kernel="precomputed").fit(gram, y)

        def predict(rows: NDArray[np.float32], fitted: Any = fitted) -> NDArray[np.int64]:
            parts = (rows[i : i + 1000] for i in range(0, len(rows), 1000))
            return np.concatenate([fitted.predict(rbf_kernel(part, x, gamma)) for part in parts])

        yield penalty, predict


def _ridges(x: NDArray[np.float32], y: NDArray[np.int64]) -> Iterator[tuple[float, Predictor]]:
    targets = np.where(y[:, None] == np.arange(y.max() + 1), 1.0, -1.0).astype(np.float32)
    offset = targets.mean(axis=0)
    gram = (x.T @ x).astype(np.float64)
    right = (x.T @ (targets - offset)).astype(np.float64)
    for penalty in (0.001, 0.01, 0.1, 1.0):
        weights = np.linalg.solve(gram + penalty * len(x) * np.eye(len(gram)), right).astype(np.float32)

        def predict(rows: NDArray[np.float32], weights: NDArray[np.float32] = weights) -> NDArray[np.int64]:
            labels: NDArray[np.int64] = np.argmax(rows @ weights + offset, axis=1)
            return labels

        yield penalty, predict


def _best(name: str, data: ImageData, seed: int, max_train: int, fits: Fits) -> PixelModel:
    train = np.sort(np.random.default_rng(seed).permutation(data.split("train"))[:max_train])
    x = _pixels(data, train)
    centre, spread = x.mean(axis=0), max(float(x.std()), 1e-6)

    def share(predict: Predictor, split: str) -> float:
        indices = data.split(split)
        return float((predict((_pixels(data, indices) - centre) / spread) == data.labels[indices]).mean())

    fitted = list(fits((x - centre) / spread, data.labels[train]))
    scores = [share(predict, "val") for _, predict in fitted]
    best = int(np.argmax(scores))
    return PixelModel(
        name,
        val_accuracy=scores[best],
        test_accuracy=share(fitted[best][1], "test"),
        n_train=len(train),
        n_train_available=len(data.split("train")),
        options={"penalty": fitted[best][0]},
    )


def _pixels(data: ImageData, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, c * h * w) in 0..1."""
    return data.images(indices).flatten(1).numpy().astype(np.float32) / np.float32(255)
