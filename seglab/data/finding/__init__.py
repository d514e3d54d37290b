"""Data sets on disk: which files are pairs of image and truth, and what became of all others."""
