"""What ``python -m benchmarks.studies.release_model`` does, from the data folder to the package's network."""
