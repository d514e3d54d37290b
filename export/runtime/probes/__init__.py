"""Probe images: every session must give the proved results for them, for those in the file and those drawn here."""
