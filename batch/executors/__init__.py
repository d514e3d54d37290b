"""What works through the images: one process with or without threads, or several processes."""
