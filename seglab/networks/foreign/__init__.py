"""Networks that somebody else trained: what a file holds, what its tensors belong to, how it becomes a checkpoint."""
