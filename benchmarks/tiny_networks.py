"""Small networks of sensors, sound and tables: those of MLPerf Tiny, and shapes of the literature.

Each takes one size (pixels, samples, frames or columns) and gives (the network, the shape of its input).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor, nn

Made = tuple[nn.Module, tuple[int, ...]]


class Residual(nn.Module):
    """act(body(x) + skip(x))."""

    def __init__(self, body: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x: Tensor) -> Tensor:
        """The sum after an activation."""
        out: Tensor = nn.functional.relu(self.body(x) + self.skip(x))
        return out


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _conv(
    n: int, c_in: int, c: int, k: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Module:
    conv, norm = (nn.Conv1d, nn.BatchNorm1d) if n == 1 else (nn.Conv2d, nn.BatchNorm2d)
    pad = dilation * (k - 1) // 2
    layer = conv(c_in, c, k, stride, pad, dilation=dilation, groups=groups, bias=False)
    return nn.Sequential(layer, norm(c), nn.ReLU())


def _residual(n: int, c_in: int, c: int, k: int, stride: int = 1) -> nn.Module:
    body = nn.Sequential(_conv(n, c_in, c, k, stride), _conv(n, c, c, k))
    same = c_in == c and stride == 1
    return Residual(body, nn.Identity() if same else _conv(n, c_in, c, 1, stride))


def _head(n: int, c: int, classes: int) -> Sequence[nn.Module]:
    pool = nn.AdaptiveAvgPool1d(1) if n == 1 else nn.AdaptiveAvgPool2d(1)
    return pool, nn.Flatten(), nn.Linear(c, classes)


def autoencoder(size: int) -> Made:
    """MLPerf Tiny, anomaly detection: dense layers around a bottleneck of 8."""
    return _mlp(size, 128, 128, 128, 128, 8, 128, 128, 128, 128, size), (1, size)


def tabular(size: int) -> Made:
    """A table's columns to ten classes."""
    return _mlp(size, 256, 256, 128, 10), (1, size)


def mlp(size: int) -> Made:
    """MNIST's multilayer perceptron."""
    return _mlp(size, 300, 100, 10), (1, size)


def wide_mlp(size: int) -> Made:
    """Residual blocks of a table, a batch of 16 rows."""
    blocks = [Residual(_mlp(192, 384, 192), nn.Identity()) for _ in range(3)]
    return nn.Sequential(nn.Linear(size, 192), *blocks, nn.Linear(192, 4)), (16, size)


def lenet(size: int) -> Made:
    """LeCun et al. 1998, with max pooling."""
    flat = 16 * ((size // 2 - 4) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), _mlp(flat, 120, 84, 10),
    ), (1, 1, size, size)  # fmt: skip


def resnet8(size: int) -> Made:
    """MLPerf Tiny, image classification."""
    blocks = [_residual(2, 16, 16, 3), _residual(2, 16, 32, 3, 2), _residual(2, 32, 64, 3, 2)]
    return nn.Sequential(_conv(2, 3, 16, 3), *blocks, *_head(2, 64, 10)), (1, 3, size, size)


def ds_cnn(size: int) -> Made:
    """MLPerf Tiny, keyword spotting: depthwise separable convolutions on (frames, 10)."""
    first = nn.Sequential(nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU())
    pairs = [layer for _ in range(4) for layer in (_conv(2, 64, 64, 3, groups=64), _conv(2, 64, 64, 1))]
    return nn.Sequential(first, *pairs, *_head(2, 64, 12)), (1, 1, size, 10)


def vgg(size: int) -> Made:
    """Six convolutions and two dense layers."""
    layers: list[nn.Module] = []
    for c_in, c in ((3, 16), (16, 32), (32, 64)):
        layers += [_conv(2, c_in, c, 3), _conv(2, c, c, 3), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), _mlp(64 * (size // 8) ** 2, 128, 10)), (1, 3, size, size)


def m5(size: int) -> Made:
    """Dai et al. 2016: raw sound."""
    layers: list[nn.Module] = [_conv(1, 1, 32, 79, 4), nn.MaxPool1d(4)]
    for c_in, c in ((32, 32), (32, 64), (64, 128)):
        layers += [_conv(1, c_in, c, 3), nn.MaxPool1d(4)]
    return nn.Sequential(*layers, *_head(1, 128, 10)), (1, 1, size)


def har_cnn(size: int) -> Made:
    """Human activities from nine channels of a wrist."""
    layers = [_conv(1, 9, 64, 3), _conv(1, 64, 64, 3), nn.MaxPool1d(2), nn.Flatten()]
    return nn.Sequential(*layers, _mlp(64 * (size // 2), 100, 6)), (1, 9, size)


def tc_resnet(size: int) -> Made:
    """Choi et al. 2019, TC-ResNet8: frames as time, coefficients as channels."""
    blocks = [_residual(1, 16, 24, 9, 2), _residual(1, 24, 32, 9, 2), _residual(1, 32, 48, 9, 2)]
    return nn.Sequential(_conv(1, 40, 16, 3), *blocks, *_head(1, 48, 12)), (1, 40, size)


def ecg_resnet(size: int) -> Made:
    """Twelve leads, kernels of 15."""
    blocks = [_residual(1, 32, 32, 15), _residual(1, 32, 64, 15, 4), _residual(1, 64, 64, 15, 4)]
    return nn.Sequential(_conv(1, 12, 32, 15, 2), *blocks, *_head(1, 64, 5)), (1, 12, size)


def tcn(size: int) -> Made:
    """Dilated residual convolutions in time."""
    body = [
        Residual(nn.Sequential(_conv(1, 48, 48, 3, dilation=2**i), _conv(1, 48, 48, 1)), nn.Identity())
        for i in range(5)
    ]
    return nn.Sequential(_conv(1, 6, 48, 1), *body, *_head(1, 48, 8)), (1, 6, size)


def conv1d(size: int) -> Made:
    """Strided depthwise separable convolutions in time."""
    layers: list[nn.Module] = [_conv(1, 3, 32, 7, 2)]
    for c in (32, 64):
        layers += [_conv(1, c, c, 5, 2, groups=c), _conv(1, c, 2 * c, 1)]
    return nn.Sequential(*layers, *_head(1, 128, 10)), (1, 3, size)


class _Encoder(nn.Module):
    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.embed = nn.Linear(16, width)
        one = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(one, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean token."""
        out: Tensor = self.head(self.body(self.embed(x)).mean(1))
        return out


def sequence_encoder(size: int) -> Made:
    """Two transformer layers on a short sequence."""
    return _Encoder(64, size), (1, size, 16)


TINY: dict[str, Callable[[int], Made]] = {
    made.__name__: made
    for made in (
        autoencoder, tabular, mlp, wide_mlp, lenet, resnet8, ds_cnn, vgg,
        m5, har_cnn, tc_resnet, ecg_resnet, tcn, conv1d, sequence_encoder,
    )
}  # fmt: skip
