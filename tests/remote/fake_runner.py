"""In place of onnxruntime_perf_test: its options and outputs; run i takes 10 ns per byte of the model + i us.

Written after onnxruntime/test/perftest: command_args_parser.cc for options, performance_runner.cc for text.
"""

import sys
from pathlib import Path

SWITCHES = set("IsDZAMPvqzln")
VALUES = set("mertxyoScCpud")
PROVIDERS = {"cpu", "xnnpack"}


def main(words: list[str]) -> int:
    options, paths = {}, []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            paths.append(word)
        elif word[1:] in SWITCHES:
            options[word[1:]] = ""
        elif word[1:] in VALUES:
            options[word[1:]] = words.pop(0)
        else:
            print(f"ERROR: Unknown command line flag '{word[1:]}'", file=sys.stderr)
            return 1
    model, result = Path(paths[0]), Path(paths[1])
    if options["e"] not in PROVIDERS:
        print(f"{options['e'].upper()} is not supported in this build\n", file=sys.stderr)
        return 255
    data = model.read_bytes()
    if b"conv" not in data and b"Conv" not in data:
        print(f"Load model from {model} failed:Protobuf parsing failed.", file=sys.stderr)
        return 255
    Path(sys.argv[0]).with_name("calls").open("a").write(" ".join(sys.argv[1:]) + "\n")
    times = [1e-8 * len(data) + 1e-6 * i for i in range(int(options["r"]))]
    report(times, options, model, result)
    return 0


def report(times: list[float], options: dict[str, str], model: Path, result: Path) -> None:
    peak = 35299328
    if int(options["x"]) > 0:
        print(f"Setting intra_op_num_threads to {options['x']}")
    if "D" in options:
        print("Disabling intra-op thread spinning entirely")
    print("Session creation time cost: 0.0273071 s")
    print("First inference time cost: 20 ms")
    print(f"Total inference time cost: {sum(times):g} s")
    print(f"Total inference requests: {len(times)}")
    print(f"Average inference time cost: {1000 * sum(times) / len(times):g} ms")
    print(f"Total inference run time: {sum(times):g} s")
    print(f"Number of inferences per second: {len(times) / sum(times):g} ")
    print(f"Avg CPU usage: 98 %\nPeak working set size: {peak} bytes")
    ordered = sorted(times)
    stats = [("Min", ordered[0]), ("Max", ordered[-1])]
    stats += [
        (f"P{p}", ordered[int(len(ordered) * float(f"0.{p}"))]) for p in ("50", "90", "95", "99", "999")
    ]
    text = "".join(f"{name} Latency: {value:g} s\n" for name, value in stats)
    with result.open("a") as file:
        for i, t in enumerate(times):
            file.write(f"{model.parent.name},{t:g},{peak},98,{i}\n")
        if "s" in options:
            file.write("\n" + text)
    if "s" in options:
        print(text, end="")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
