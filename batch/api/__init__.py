"""``seglab.segment``: a run over an archive from Python."""
