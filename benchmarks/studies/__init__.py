"""Scripts that answer one question each; the README beside them lists them."""
