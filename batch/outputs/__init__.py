"""Where masks go, under which names, and what is written beside them."""
