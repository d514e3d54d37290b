"""The stages around the network as ONNX operators, the traced network, the file on disk."""
