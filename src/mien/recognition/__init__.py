"""The light runtime: photo → faces → emotions, on NumPy, OpenCV and ONNX Runtime; never on torch."""
