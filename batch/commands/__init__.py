"""What the subcommands of ``seg-batch`` do; each a file, and the command line in ``batch/cli.py``."""
