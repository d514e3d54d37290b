"""What ``seg-batch run`` shows people: lines made of a report, in colour on terminals only."""
