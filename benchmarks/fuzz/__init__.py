"""Broken inputs at every door of hwnas: what ends in anything but one clear error?

`mutations.py` breaks valid inputs, `doors.py` is the table of readers with such inputs, `workers.py` runs
them in processes with limits, `__main__.py` counts.
"""
