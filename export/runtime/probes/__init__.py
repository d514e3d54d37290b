"""Probe images: every session has to give for them what was proved, those in the file and those drawn here."""
