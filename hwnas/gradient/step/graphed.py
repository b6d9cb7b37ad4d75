"""Search steps as CUDA graphs: recorded once, then started by one launch each.

A step is some ten thousand kernels of ten microseconds, and Python takes longer to start one than the GPU to
run it. A graph repeats the kernels of one recorded step: on the same tensors at the same places, with the
same floats. So what a step reads has to keep its place: weights, optimiser states, batches (`HeldBatches`)
and the numbers that change from step to step (`StepNumbers`). Generators are told to a graph, so that each
replay draws anew, from the seed and the offset that they have then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from hwnas.core.number import Number
from hwnas.data.batches import Batch

from .passes import BatchSource

T = TypeVar("T")

WARM_UPS = 2
"""Steps of a kind that run as they are before it is recorded: optimisers and libraries make buffers then."""


class Capture(Protocol):
    """What records a function as a graph; each function is run by `warm_up` first."""

    def warm_up(self, run: Callable[[], T]) -> T:
        """Run it as it is, where it will be recorded."""
        ...

    def record(self, run: Callable[[], T]) -> Callable[[], T]:
        """A function that repeats it, and gives the tensors of the recording; RuntimeError: it cannot be."""
        ...


class CudaCapture:
    """Records by `torch.cuda.graph`. All graphs share one pool of memory: they run one after the other.

    generators: that the functions draw from, beside torch's own.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]) -> None:
        self._device, self._generators = device, tuple(generators)
        stream: Any = torch.cuda.Stream
        self._stream, self._pool = stream(device), torch.cuda.graph_pool_handle()

    def warm_up(self, run: Callable[[], T]) -> T:
        """On the stream of the recordings, which waits for what was started, and is waited for."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = run()
        current.wait_stream(self._stream)
        return result

    def record(self, run: Callable[[], T]) -> Callable[[], T]:
        """See `Capture`."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            # thread_local: other threads may read images and allocate meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                result = run()
        except RuntimeError:
            torch.cuda.set_stream(current)  # a failed recording leaves its own stream behind
            raise

        def replay() -> T:
            graph.replay()
            return result

        return replay


class StepNumbers:
    """The numbers of a step by name: floats as they are, or in tensors that keep their place.

    device: of the tensors; None: floats.
    """

    def __init__(self, device: torch.device | None) -> None:
        self._device = device
        self._tensors: dict[str, Tensor] = {}

    def __call__(self, name: str, value: float) -> Number:
        """The number, which has this value from now on."""
        if self._device is None:
            return value
        if name not in self._tensors:
            self._tensors[name] = torch.empty((), device=self._device)
        return self._tensors[name].fill_(value)


class HeldBatches:
    """Batches of a source in tensors that keep their place, as long as all are of one shape.

    moves: how often the place changed.
    """

    def __init__(self, source: BatchSource) -> None:
        self._source, self._step = source, -1
        self._batch: Batch | None = None
        self._filled, self.asked, self.moves = False, False, 0

    def begin(self, step: int, *, wanted: bool) -> None:
        """The batch is that of a step from now on. wanted: it will be asked for."""
        self._step, self._filled, self.asked = step, False, False
        if wanted:
            self._fill()

    def current(self) -> Batch:
        """The batch of the step that has begun."""
        self.asked = True
        return self._fill() if self._batch is None or not self._filled else self._batch

    def _fill(self) -> Batch:
        batch = self._source.at(self._step)
        if self._batch is None or any(
            old.shape != new.shape or old.dtype != new.dtype
            for old, new in zip(self._batch, batch, strict=True)
        ):
            self.moves += self._batch is not None
            self._batch = (batch[0].clone(), batch[1].clone())
        else:
            for held, new in zip(self._batch, batch, strict=True):
                held.copy_(new)
        self._filled = True
        return self._batch


class GraphedSteps:
    """Runs steps of a few kinds; each kind becomes a graph once it has run a few times.

    train, val: the batches that steps are made of.
    capture: None: all steps run as they are.
    warn: gets a line when a step could not be recorded. From then on all run as they are.
    """

    def __init__(
        self,
        train: BatchSource,
        val: BatchSource,
        capture: Capture | None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.train, self.val = HeldBatches(train), HeldBatches(val)
        self._capture, self._warn = capture, warn
        self.forget()

    def forget(self) -> None:
        """Record everything anew: a tensor that was recorded is gone."""
        self._replays: dict[Hashable, Callable[[], object]] = {}
        self._runs: Counter[Hashable] = Counter()
        self._asked: dict[Hashable, tuple[bool, bool]] = {}

    def run(self, kind: Hashable, step: int, make: Callable[[], T], undo: Callable[[], None]) -> T:
        """The result of `make`, or of its replay, which gives the same tensors each time.

        kind: of the step; all steps of a kind run the same kernels.
        undo: takes back what an interrupted recording has left in Python.
        """
        train, val = self._asked.get(kind, (False, False))
        self.train.begin(step, wanted=train)
        self.val.begin(step, wanted=val)
        if self._capture is None:
            return make()
        key = (kind, self.train.moves, self.val.moves)
        if key not in self._replays:
            if self._runs[key] < WARM_UPS:
                self._runs[key] += 1
                result = self._capture.warm_up(make)
                self._asked[kind] = (self.train.asked, self.val.asked)
                return result
            try:
                self._replays[key] = self._capture.record(make)
            except RuntimeError as error:
                undo()
                self._capture = None
                self._warn(f"this step could not be recorded as a CUDA graph and runs as it is: {error}")
                return make()
        return self._replays[key]()  # type: ignore[return-value]  # it was recorded from a `make` of this kind
