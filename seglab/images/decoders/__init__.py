"""Decoders, one module per family of formats; :mod:`seglab.images.reader` chooses by a file's first bytes."""
