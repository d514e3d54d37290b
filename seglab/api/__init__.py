"""``seglab.train`` and ``seglab.validate``: training and validation from Python."""
