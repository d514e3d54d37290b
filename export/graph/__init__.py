"""The fused graph: the stages around the network as ONNX operators, the traced network, and writing the file."""
