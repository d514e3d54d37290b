"""Checks of a data set before training: files, truths, leaks."""
