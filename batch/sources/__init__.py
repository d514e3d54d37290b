"""Where images come from: folders, archives, lists, patterns, URLs."""
