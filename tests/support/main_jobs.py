"""The main job as a process of its own, in a space small enough for a minute."""

STAGES = """
operations = ["mb3e3", "mb5e6-se-hs", "fused3e3"]
[stem]
channels = 16
stride = 2
[head]
channels = 32
[[stages]]
widths = [16, 32]
depth = 5
stride = 2
[[stages]]
widths = [32, 48]
depth = 5
stride = 1
"""
"""A space of the kind of `mobile` with several choices per stage, as TOML."""

LAUNCH = """
import lut.tables.block_level
lut.tables.block_level.check_steady = lambda *_: None  # a busy machine is no failure of the code
import cli
cli.main()
"""
"""The command line as a program for `python -c`; its words follow."""

STAND_IN = """
from types import SimpleNamespace
import lut
errors = dict.fromkeys(("mape_pct", "within_5_pct", "noise_floor_pct", "macs_line_mape_pct"), 0.0)
lut.space_table = lambda *_, **__: SimpleNamespace(
    context=SimpleNamespace(hash="none", facts={}, to_json=lambda: {"hash": "none", "facts": {}}),
    intercept_ms=0.0, slope=1.0, square_ms_per_mb2=0.0,
    latency_ms=lambda key: 0.1, weight_mb=lambda key: 0.0, errors=errors, margin=0.05,
)
lut.measure = lambda target, files, **_: {
    key: lut.Measurement(1.0, 1.0, 1.0, 1.0, 1.0, "wall", "ok", 30) for key in files
}
import hwnas.pipeline.main_job.baselines
hwnas.pipeline.main_job.baselines.WIDTHS = (0.25,)  # of thirteen
"""
"""In front of the command line: a device on which every block costs 0.1 ms and every network 1 ms."""

STOOD_IN = f"{STAND_IN}\nimport cli\ncli.main()"
"""The command line with that device, as a program for `python -c`."""
