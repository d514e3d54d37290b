"""From a network that somebody else exported to ONNX to a model: what it takes and gives is found out by running it."""
