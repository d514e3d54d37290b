"""Metrics of masks against truth: overlap, boundaries, and confidence intervals."""
