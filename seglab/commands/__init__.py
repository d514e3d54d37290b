"""The subcommands of ``seglab``, one per file."""
