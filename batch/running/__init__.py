"""A whole run, from its settings to its report. (``batch.run`` is the function that starts one.)"""
