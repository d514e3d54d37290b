"""What happened to every image: an SQLite file beside the masks."""
