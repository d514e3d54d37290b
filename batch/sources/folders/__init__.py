"""Folders and patterns as sources."""
