"""Photographs: reading them from any format, hair removal, outlines drawn on them."""
