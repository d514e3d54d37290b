"""The steps from one image's bytes to its mask."""
