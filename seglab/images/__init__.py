"""Photographs and masks: reading from any format, hair removal, overlays."""
