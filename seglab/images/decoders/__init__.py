"""One module for each family of formats; :mod:`seglab.images.reader` chooses by a file's first bytes."""
