"""The commands, which `app` puts together: one thin function each, typed, and light to start.

Here live options, their help, and how results are printed: data goes to stdout, all else to stderr. What a
command does lives in `hwnas`, `lut` and `targets`, and is imported when the command runs
(tests/house/test_imports.py). No other package may import this one.
"""
