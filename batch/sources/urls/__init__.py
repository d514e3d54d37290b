"""Images at URLs: folders of storage and of web servers, and archives there."""
