"""Files of every kind with known pixels, other decoders to compare with, and processes that may be killed by a file."""
