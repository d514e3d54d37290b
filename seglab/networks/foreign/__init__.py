"""Networks trained elsewhere: reading files, recognising networks by their tensors, making checkpoints."""
