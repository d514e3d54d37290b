"""The training loop with its optimizers, devices, processes and run folder."""
