"""The subcommands of ``seg-export``, one a file."""
