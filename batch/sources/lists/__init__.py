"""What names files one by one or comes as a stream: lists, standard input, pipes."""
