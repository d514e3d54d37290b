"""The gate: whether a file computes what its original computes. Figures, pictures and the data sheet."""
