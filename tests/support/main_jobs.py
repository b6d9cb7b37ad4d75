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
