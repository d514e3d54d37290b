"""From files on disk to examples for training: layouts, pairs, splits, inspection, the prepared store."""
