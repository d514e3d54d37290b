"""Folders and patterns: which files of a folder are photographs."""
