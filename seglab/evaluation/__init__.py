"""How good a network is: validation, the original network as a reference, comparisons of runs, pictures."""
