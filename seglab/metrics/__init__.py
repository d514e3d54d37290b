"""What is measured between a mask and the truth: overlap, boundaries, and how sure a mean is."""
