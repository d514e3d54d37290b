"""Images at URLs: on object storage and web servers, in folders and archives."""
