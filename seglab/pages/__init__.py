"""Pages for people: one HTML file that opens offline, with charts and pictures inside."""
