"""A cluster job, simulated: see :mod:`benchmarks.studies.cluster_sim`."""
