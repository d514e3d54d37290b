"""From a checkpoint, or a foreign ONNX file, to the one graph that holds everything."""
