"""A run over an archive from Python: ``seglab.segment``."""
