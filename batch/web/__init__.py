"""What the web pages share: the server on this machine, and its guard against other pages and hosts."""
