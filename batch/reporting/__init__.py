"""What the commands share that read an output: who made its masks, whose truth is whose, files for findings."""
