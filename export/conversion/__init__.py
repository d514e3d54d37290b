"""From a checkpoint to the one graph that holds everything."""
