"""The latency of any ONNX file, from the kernels that the runtime makes of it.

`features` says what a kernel is, `labels` what it took, `regress` prices kernels, `network` adds them up,
`fit` makes a predictor of profiled networks, `predictor` keeps it, `profile` measures a device for it,
`transfer` starts from another device's. How kernels are timed lives in `profilers`; which kernels a far
target would run, in `lut.predictor.layout`.
"""
