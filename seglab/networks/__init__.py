"""Networks: building by name, normalisation, checkpoints."""
