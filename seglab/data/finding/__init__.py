"""Data sets on disk: the pairs of image and truth, and a reason for every other file."""
