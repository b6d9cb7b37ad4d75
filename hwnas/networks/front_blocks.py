"""What stands before a network of signals in its file, as a block: standardised values, log-mel energies.

A network learns from what the front end gives, so that nothing of it is trained, searched or in the module of
an architecture. Its work, its bytes and its time are those of every file: it is a block of the space, without
a choice. No torch: the module stands in `log_mel`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from targets.errors import UsageError

from .conv import NODE_BYTES, Conv, SumOfConvs
from .mel_settings import LogMelSettings
from .mobile_blocks import Operation

_NAME = re.compile(
    r"standardise/(?P<channels>\d+)x1x(?P<length>\d+)"
    r"|log-mel/1x1x(?P<samples>\d+)/(?P<bands>\d+)/w(?P<window>\d+)/s(?P<hop>\d+)/(?P<rate>\d+)hz"
)


@dataclass(frozen=True, slots=True)
class FrontBlock(SumOfConvs):
    """The front end of the networks of a space.

    channels, length: of what the network takes. log_mel: of sounds, how waveforms become that.
    """

    channels: int
    length: int
    log_mel: LogMelSettings | None = None

    kind = "front"
    stride = 1
    residual = False
    op = Operation("none")
    more_inputs = ()

    @classmethod
    def parse(cls, key: str) -> FrontBlock:
        """The block of that key; UsageError says how keys read.

        >>> FrontBlock.parse("log-mel/1x1x4000/40/w200/s80/8000hz").input_shape
        (1, 1, 1, 4000)
        """
        match = _NAME.fullmatch(key)
        if match is None:
            raise UsageError(
                f"unknown front end {key!r}; allowed: standardise/<channels>x1x<length>, or "
                "log-mel/1x1x<samples>/<bands>/w<window>/s<hop>/<rate>hz"
            )
        numbers = {name: int(value) for name, value in match.groupdict().items() if value is not None}
        if "channels" in numbers:
            return cls(numbers["channels"], numbers["length"])
        settings = LogMelSettings(
            rate_hz=numbers["rate"],
            samples=numbers["samples"],
            window=numbers["window"],
            hop=numbers["hop"],
            bands=numbers["bands"],
        )
        return cls(settings.bands, settings.frames, settings)

    @property
    def key(self) -> str:
        """`standardise/6x1x96`; `log-mel/1x1x4000/40/w200/s80/8000hz`: samples, bands, window, hop, rate."""
        s = self.log_mel
        if s is None:
            return f"standardise/{self.channels}x1x{self.length}"
        return f"log-mel/1x1x{s.samples}/{s.bands}/w{s.window}/s{s.hop}/{s.rate_hz}hz"

    @property
    def group(self) -> str:
        """A block of its own."""
        return f"{self.key.partition('/')[0]}@{self.length}"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, c, 1, values): raw values, of sounds the waveform."""
        s = self.log_mel
        return (1, self.channels, 1, self.length) if s is None else (1, 1, 1, s.samples)

    @property
    def size(self) -> int:
        """Values of a channel of what the network takes."""
        return self.length

    @property
    def shape_out(self) -> list[int]:
        """Of what the network takes."""
        return [self.channels, 1, self.length]

    @property
    def convs(self) -> tuple[Conv, ...]:
        """Cosines, sines, and bands of their energies; none where values are standardised alone."""
        s = self.log_mel
        if s is None:
            return ()
        wave = Conv(1, s.bins, s.window, s.frames, bare=True, dims=1)
        return (wave, wave, Conv(s.bins, s.bands, 1, s.frames, bare=True, dims=1))

    @property
    def params(self) -> int:
        """Nothing is trained."""
        return 0

    @property
    def file_bytes(self) -> int:
        """Matrices, two numbers per channel, and nodes without weights, which are half as long."""
        without_weights = 2 if self.log_mel is None else 7
        weights = sum(c.file_bytes for c in self.convs)
        return weights + 8 * self.channels + without_weights * NODE_BYTES // 2

    @property
    def peak_bytes(self) -> int:
        """Largest sum of fp32 activations that live at once, one sample."""
        s, out = self.log_mel, self.channels * self.length
        if s is None:
            return 4 * 2 * out
        spectrum = s.bins * s.frames
        return 4 * max(s.samples + 2 * spectrum, 3 * spectrum, spectrum + out, 2 * out)

    @property
    def features(self) -> dict[str, float]:
        """The numbers of `MobileBlock.features`."""
        convs, s = self.convs, self.log_mel
        read = self.channels * self.length if s is None else s.samples
        maps = 0 if s is None else 5 * s.bins * s.frames
        weights = sum(c.weights for c in convs)
        values = {
            "c_in": self.input_shape[1],
            "c_out": self.channels,
            "mid": 0 if s is None else s.bins,
            "size": self.length,
            "stride": 1 if s is None else s.hop,
            "kernel": 0 if s is None else s.window,
            "se": False,
            "hs": False,
            "fused": False,
            "residual": False,
            "macs": self.macs,
            "depthwise_macs": 0,
            "bytes": 4 * (read + maps + self.channels * self.length + weights),
            "weight_bytes": 4 * weights,
            "unaligned16": sum(c.c_out % 16 != 0 for c in convs),
            "unaligned_in16": True,
        }
        return {name: float(value) for name, value in values.items()}
