"""What lies in a job's place: its description, the parts of its manifest and its ledger, tars of masks."""
