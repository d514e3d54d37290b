"""The training loop and what it needs: optimizers, devices, processes, the run folder."""
