"""Latency tables of search spaces: what every block costs on a device, with the error stated beside it.

`networks` and `request` say what a table is made of, `build` makes it by one of two methods (`block_level`,
`in_context`), `estimate_blocks` fills in what was not measured and `calibrate` fits whole networks.
`table` and `blocks_csv` are its files; `bundle` is the archive in which it travels. What any ONNX file costs
lives in `lut.predictor`.
"""
