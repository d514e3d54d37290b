"""Shared by commands that read an output: who made its masks, which truth belongs to which mask, result files."""
