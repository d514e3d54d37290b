"""The subcommands of ``seg-export``, one per module."""
