"""The outcome of every image: an SQLite file beside the masks."""
