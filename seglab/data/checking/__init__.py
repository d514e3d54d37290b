"""What is wrong with a data set before a network learns from it: files, truths, leaks."""
