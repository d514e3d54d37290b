"""What benchmarks and studies share: archives, the PyTorch loop, the parts of a run, places."""
