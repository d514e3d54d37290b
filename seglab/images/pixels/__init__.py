"""What is done to pixels whatever file they come from: colours, depth, turning, size."""
