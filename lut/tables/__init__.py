"""Latency tables of search spaces: blocks measured or predicted, a calibration, the error beside it.

`build` makes a table, `table` and `blocks_csv` keep it, `bundle` lets it travel. Any ONNX file is priced in
`kernels`.
"""
