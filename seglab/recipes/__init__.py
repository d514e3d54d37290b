"""Training set-ups that have a name; each is a TOML file in this folder."""
