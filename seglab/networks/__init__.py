"""Networks: built by name, normalised, kept in checkpoints."""
