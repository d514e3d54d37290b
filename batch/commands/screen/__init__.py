"""What ``seg-batch run`` shows on the screen: a progress bar, and lines made from the report, coloured on terminals."""
