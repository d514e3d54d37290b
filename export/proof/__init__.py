"""The gate: does the file compute what the original computes? Figures, pictures, the data sheet."""
