"""How a device is *measured*: latency and memory with onnxruntime."""
