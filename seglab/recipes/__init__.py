"""Training set-ups by name; each recipe is a TOML file in this folder."""
