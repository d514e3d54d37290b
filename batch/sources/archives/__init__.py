"""Archives as sources: zips, tars and compressed tars."""
