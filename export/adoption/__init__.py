"""Turn a network that somebody else exported to ONNX into a model: its input and output are found out by running it."""
