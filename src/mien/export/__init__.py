"""From a run to a model file: ONNX, int8, detector and network in one file; provenance goes along."""
