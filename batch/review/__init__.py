"""Look at masks and accept or reject them, in the browser."""
