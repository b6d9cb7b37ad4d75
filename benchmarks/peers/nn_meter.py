"""The reference tool's protocol, re-implemented: a random forest per kernel type on raw milliseconds, summed.

`fit` trains its forests on kernels in context, from our sampler; `as_shipped` on kernels that its own sampler
draws and that run alone. A kernel without a forest adds zero, as there; `Peer.unknown` counts them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lut.devices.callbacks import LogCallback
from lut.predictor.kernels.labels import Labelled
from targets import Target

from . import meter_samples, one_operator
from .common import Peer, UntimedNetwork
from .isolated_models import isolated_ms
from .meter_kernels import Attributes, attributes

FORESTS = {
    "conv": (70, 320, 6),
    "dwconv": (50, 240, 6),
    "fc": (50, 370, 2),
    "maxpool": (50, 210, 5),
    "avgpool": (50, 370, 5),
    "gap": (70, 370, 2),
    "hswish": (50, 190, 2),
    "relu": (50, 370, 2),
    "bn": (50, 370, 2),
    "concat": (100, 690, 5),
    "add": (50, 570, 3),
    "split": (50, 190, 2),
}
"""Type -> (depth, trees, max_features) of its CPU backend."""

SEED = 10
BAD = 0.1
TEST_SHARE = 0.2
INITIAL_SHARE = 0.5
"""Of the device time; the adaptive round has the rest. One round of its three."""
PER_SECOND = 15
"""Samples that are drawn for each second: more than a device measures."""

Samples = Sequence[tuple[Attributes, float]]


def fit(networks: Sequence[Labelled]) -> Peer:
    """Its forests and features, trained on the kernels of profiled networks."""
    samples = [
        (a, float(ms))
        for network in networks
        for kernel, ms in zip(network.kernels, network.kernel_ms, strict=True)
        if (a := attributes(kernel)) is not None
    ]
    return _summed(forests(samples), networks)


def as_shipped(
    networks: Sequence[UntimedNetwork], target: Target, seconds: float, log: LogCallback, seed: int = 0
) -> Peer:
    """Its sampler too: marginals from these networks, kernels measured alone for at most `seconds`."""
    rng = np.random.default_rng([seed, 0x3E7E4])
    n = max(24, round(PER_SECOND * seconds * INITIAL_SHARE))
    drawn = meter_samples.initial(meter_samples.zoo_of(networks), n, rng)
    first = _measured(drawn, target, INITIAL_SHARE * seconds, log, seed)
    bad = badly_predicted(first, rng)
    log(f"adaptive round around {len(bad)} kernels")
    more = meter_samples.around(bad, rng)[: round(PER_SECOND * seconds)]
    second = _measured(more, target, (1 - INITIAL_SHARE) * seconds, log, seed) if more else []
    return _summed(forests([*first, *second]), networks)


def forests(samples: Samples) -> Mapping[str, Any]:
    """Type -> forest. Its out-of-bag score, which changes no prediction, is left out."""
    from sklearn.ensemble import RandomForestRegressor

    found = {}
    for kind, rows in _by_kind(samples).items():
        depth, trees, max_features = FORESTS[kind]
        forest = RandomForestRegressor(
            trees, max_depth=depth, max_features=max_features, random_state=SEED, n_jobs=1
        )
        found[kind] = forest.fit([a.features for a, _ in rows], [ms for _, ms in rows])
    return found


def badly_predicted(samples: Samples, rng: np.random.Generator) -> list[Attributes]:
    """Of a fifth of each type, left out of the fit: those predicted worse than 10 %."""
    train: list[tuple[Attributes, float]] = []
    test: list[tuple[Attributes, float]] = []
    for rows in _by_kind(samples).values():
        order, n_test = rng.permutation(len(rows)), int(TEST_SHARE * len(rows))
        test += [rows[i] for i in order[:n_test]]
        train += [rows[i] for i in order[n_test:]]
    if not test:
        return []
    predicted = predict_ms(forests(train), [a for a, _ in test])
    pairs = zip(test, predicted, strict=True)
    return [a for (a, ms), p in pairs if p is not None and abs(p / ms - 1) > BAD]


def predict_ms(trained: Mapping[str, Any], kernels: Sequence[Attributes | None]) -> list[float | None]:
    """Milliseconds of each kernel; None where there is no forest."""
    found: list[float | None] = [None] * len(kernels)
    places: dict[str, list[int]] = defaultdict(list)
    for i, a in enumerate(kernels):
        if a is not None and a.kind in trained:
            places[a.kind].append(i)
    for kind, where in places.items():
        rows = [a.features for i in where if (a := kernels[i]) is not None]
        for i, ms in zip(where, trained[kind].predict(rows), strict=True):
            found[i] = float(ms)
    return found


def _summed(trained: Mapping[str, Any], networks: Sequence[UntimedNetwork]) -> Peer:
    """The peer of these forests. A call of all forests takes a second, so the networks are priced in one."""
    known: dict[Attributes | None, float | None] = {}

    def learn(kernels: Iterable[Attributes | None]) -> None:
        new = [a for a in dict.fromkeys(kernels) if a not in known]
        known.update(zip(new, predict_ms(trained, new), strict=True))

    def estimate(network: UntimedNetwork) -> tuple[float, int]:
        read = [attributes(kernel) for kernel in network.kernels]
        learn(read)
        each_ms = [known[a] for a in read]
        return sum(ms for ms in each_ms if ms is not None), sum(ms is None for ms in each_ms)

    learn(attributes(kernel) for network in networks for kernel in network.kernels)
    return Peer(estimate)


def _measured(
    drawn: Sequence[Attributes], target: Target, seconds: float, log: LogCallback, seed: int
) -> list[tuple[Attributes, float]]:
    drawn_by_key = {one_operator.key(meter_samples.as_kernel(a)): a for a in drawn}
    files = {
        key: partial(one_operator.onnx_bytes, meter_samples.as_kernel(a)) for key, a in drawn_by_key.items()
    }
    return [(drawn_by_key[key], ms) for key, ms in isolated_ms(target, files, seconds, log, seed).items()]


def _by_kind(samples: Samples) -> dict[str, list[tuple[Attributes, float]]]:
    found: dict[str, list[tuple[Attributes, float]]] = defaultdict(list)
    for a, ms in samples:
        found[a.kind].append((a, ms))
    return dict(found)
