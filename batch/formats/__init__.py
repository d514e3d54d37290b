"""Masks in the formats of annotation tools and hospitals."""
