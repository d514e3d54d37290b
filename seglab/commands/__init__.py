"""The subcommands of ``seglab``, one a file."""
