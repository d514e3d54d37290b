"""Pages that show an output: of a run, of scores, and of a comparison, each one file that opens offline."""
