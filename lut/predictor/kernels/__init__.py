"""The latency of any ONNX file, from the kernels that the runtime makes of it.

`features` says what a kernel is, `labels` what it took, `regress` estimates kernels, `small` those of small
networks, `model` is what is kept of both, `network` adds them up, `whole` corrects the sum, and `fit` makes
all of it from profiled networks. How kernels are timed lives in `profilers`; which kernels a far target would
run, in `lut.predictor.layout`.
"""
