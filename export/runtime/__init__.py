"""Open a model on a verified device, and run it."""
