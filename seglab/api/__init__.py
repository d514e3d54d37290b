"""Training and validation from Python: ``seglab.train``, ``seglab.validate``."""
