"""The plans that each family of devices offers, best first; one module per family."""
