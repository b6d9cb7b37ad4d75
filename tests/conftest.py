"""Tests hold on any machine: one thread per process, and no limit on how long an example takes.

Small tensors gain nothing from more threads, and threads that spin lose a lot. Set before torch, numpy or
onnxruntime load, and inherited by the processes that tests start.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support")  # so that a broken claim shows its numbers

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# hypothesis fails an example that takes 200 ms, which a busy machine needs for anything.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that of two processes none is left alone with a long file."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _subnormal_numbers_are_numbers() -> None:
    """The first session of a process decides that for its main thread, and profilers' sessions say no."""
    import onnxruntime

    from lut.devices.reference_networks import empty_onnx

    onnxruntime.InferenceSession(empty_onnx(), providers=["CPUExecutionProvider"])
    assert sys.float_info.min / 2 > 0


@pytest.fixture(scope="session", autouse=True)
def _locks_of_devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests and the commands that they start wait for each other's measurements.

    Not for those of other work on this machine, nor for those of tests on the other core.
    """
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder
