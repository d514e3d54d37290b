"""Opening a model on a device that was verified, and running it."""
