"""From a trained network to a checked ONNX file, and what that file answers."""
