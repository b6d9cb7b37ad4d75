"""CPU time of the backward pass of depthwise convolutions: torch's own, and `hwnas.networks.depthwise`.

python -m benchmarks.depthwise [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.networks.depthwise import depthwise_conv2d

SHAPES = [
    (192, 4, 7, 1),
    (192, 4, 5, 1),
    (96, 8, 7, 2),
    (96, 8, 5, 2),
    (96, 8, 7, 1),
    (96, 8, 5, 1),
    (48, 16, 7, 2),
]


def cpu_ms(run: Callable[[], object], repeats: int) -> float:
    """Least CPU time of one call."""
    run()
    times = []
    for _ in range(repeats):
        began = time.thread_time()
        run()
        times.append(time.thread_time() - began)
    return 1000 * min(times)


def backward_of(out: Tensor, inputs: list[Tensor]) -> Callable[[], object]:
    flow = torch.ones_like(out)
    return lambda: torch.autograd.grad(out, inputs, flow, retain_graph=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("channels  map  kernel  stride  torch_ms  ours_ms  ratio")
    for c, size, kernel, stride in SHAPES:
        x = (
            torch.randn(args.batch, c, size, size)
            .contiguous(memory_format=torch.channels_last)
            .requires_grad_()
        )
        weight = torch.randn(c, 1, kernel, kernel, requires_grad=True)
        plain = F.conv2d(x, weight, None, stride, kernel // 2, groups=c)
        fast = depthwise_conv2d(x, weight, stride)
        theirs = cpu_ms(backward_of(plain, [x, weight]), args.repeats)
        ours = cpu_ms(backward_of(fast, [x, weight]), args.repeats)
        rows.append(
            {
                "channels": c,
                "map": size,
                "kernel": kernel,
                "stride": stride,
                "torch_ms": theirs,
                "ours_ms": ours,
            }
        )
        print(f"{c:8d} {size:4d} {kernel:7d} {stride:7d} {theirs:9.2f} {ours:8.2f} {theirs / ours:6.1f}")
    if args.json:
        args.json.write_text(
            json.dumps({"torch": torch.__version__, "batch": args.batch, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
