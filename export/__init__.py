"""The ONNX artefact: writing it, proving it, describing it, opening it."""
