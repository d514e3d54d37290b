"""Evaluation of networks: validation, the PyTorch reference, comparisons of runs, model cards, pictures."""
