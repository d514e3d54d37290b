"""Masks over HTTP: a page to drop photographs on, and an interface for programs."""
