"""A whole run, from the settings to the report; named so because ``batch.run`` is the function that starts one."""
