"""Lists of files and streams as sources: files, standard input, pipes."""
