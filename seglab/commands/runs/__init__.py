"""What ``seglab train`` is made of: what was asked for, which pairs, and the session that trains and talks."""
