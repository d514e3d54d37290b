"""What hands units to processes: this machine, or a Ray cluster."""
