"""The latency and memory of any ONNX file on one device, predicted kernel by kernel.

`profile` measures generated networks, `kernels` fits a model to them, and `latency_predictor` stores it;
`transfer` starts from another device's. `layout` and `footprint` say which kernels and how much memory a
network has there, and `device_predictor` answers for a file.
"""
