"""Files of every kind with known pixels, other decoders to compare with, and processes that a file may kill."""
