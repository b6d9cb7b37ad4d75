"""The latency of any ONNX file, from the kernels that the runtime makes of it.

`features` says what a kernel is, `labels` what it took, `regress` estimates kernels, `network` adds them up,
`fit` makes the parts of a predictor from profiled networks. How kernels are timed lives in `profilers`; which
kernels a far target would run, in `lut.predictor.layout`.
"""
