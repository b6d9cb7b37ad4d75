"""Structured pruning: a trained network loses whole channels until it is fast enough.

`trace` finds which channels stand and fall together, `importance` ranks them, `prune` removes them,
`sensitivity` and `latency` say what each width of each group costs in loss and in milliseconds, `choose`
picks the widths for a budget. No file of a run is written here: the stages are in `hwnas/pipeline/shrinks/`.
"""
