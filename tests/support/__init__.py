"""Helpers of tests: a tiny trained network, a model whose masks are known, archives, faults."""
