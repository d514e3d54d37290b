"""What is done with one image between its bytes and its mask."""
