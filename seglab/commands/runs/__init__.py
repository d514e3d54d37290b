"""The parts of ``seglab train``: the request, the choice of pairs, the training session, cross-validation."""
