"""How good a network is: metrics, intervals, the original network as a reference, comparisons, pictures."""
