"""The training loop and what it needs: losses, optimizers, devices, processes, the run folder."""
