"""``seg-batch cluster``: its commands."""
