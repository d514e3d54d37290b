"""The libraries that run a model, each behind the protocol of :mod:`export.runtime.session`."""
