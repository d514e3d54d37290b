"""Where masks are written, and what is written beside them."""
