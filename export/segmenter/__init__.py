"""A model from Python: any image in, a mask with its figures out."""
