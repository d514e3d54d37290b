"""Pages (one HTML file each) of a training run, a cross-validation, and ``seglab validate``."""
