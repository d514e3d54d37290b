"""Conversion of checkpoints to model files."""
