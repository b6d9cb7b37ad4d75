"""The blocks of the recurrent space: keys, and what they cost on paper for one symbol of one text.

A network reads a symbol and the state before it, and writes scores of the next symbol and the state after it.
Its cell is that of DARTS [1]: the first node mixes symbol and state, each other reads an earlier node, all
by `s + sigmoid(c) (f(h) - s)`; the new state is the mean of the others. No torch here.

[1] Liu et al. 2019, 1806.09055, section 3.2 and appendix A.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from .conv import NODE_BYTES

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
"""What `f` of a node may be."""


@dataclass(frozen=True, slots=True)
class RecurrentBlock:
    """One distinct block of the recurrent space.

    kind: an activation for a node, or one of
        embed (symbol to numbers), first (the node that reads symbol and state), mean (of the nodes), decode
        (scores of the next symbol).
    width: numbers of the state.
    n: symbols of embed and decode, nodes of mean; else 0.
    """

    kind: str
    width: int
    n: int = 0

    @property
    def key(self) -> str:
        """`rnn-tanh/64`, `rnn-decode/64/27`."""
        return f"rnn-{self.kind}/{self.width}" + (f"/{self.n}" if self.n else "")

    @property
    def group(self) -> str:
        """Blocks that behave alike on a device: kind and width."""
        return f"rnn-{self.kind}@{self.width}"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, width, 1, 1): what it reads, as blocks of images have it."""
        return (1, self.width, 1, 1)

    @property
    def more_inputs(self) -> tuple[tuple[int, int, int, int], ...]:
        """None: its module says itself what its file takes."""
        return ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of its product of matrices."""
        return self._weights if self.kind != "embed" else 0

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return self._weights + (self.n if self.kind == "decode" else 0)

    @property
    def file_bytes(self) -> int:
        """What the block adds to an exported fp32 file."""
        return 4 * self.params + NODE_BYTES * self._n_operators

    @property
    def peak_bytes(self) -> int:
        """Largest sum of activations that live at once: what it reads, and two steps of what it makes."""
        w = self.width
        return 4 * {"embed": w, "first": 6 * w, "mean": w * (self.n + 1), "decode": w + self.n}.get(
            self.kind, 5 * w
        )

    @property
    def features(self) -> dict[str, float]:
        """Numbers for a latency predictor."""
        moved = {"embed": 1, "first": 8, "mean": 2 * self.n, "decode": 1}.get(self.kind, 7) * self.width
        values = {
            "c_in": self.width,
            "c_out": self.n if self.kind == "decode" else self.width,
            **{
                f"is_{kind}": self.kind == kind for kind in (*ACTIVATIONS, "embed", "first", "mean", "decode")
            },
            "macs": self.macs,
            "bytes": 4 * (moved + (0 if self.kind == "embed" else self.params)),
            "weight_bytes": 4 * (0 if self.kind == "embed" else self.params),
        }
        return {name: float(value) for name, value in values.items()}

    @property
    def _weights(self) -> int:
        w = self.width
        shapes = {"embed": self.n * w, "first": 2 * w * 2 * w, "mean": 0, "decode": w * self.n}
        return shapes.get(self.kind, w * 2 * w)

    @property
    def _n_operators(self) -> int:
        """As many as fill the bytes of its names and constants, in files of whole networks."""
        return {"embed": 2, "first": 18, "mean": self.n, "decode": 2, "identity": 16}.get(self.kind, 17)
