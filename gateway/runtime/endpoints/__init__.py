"""The gateway's own paths: one file per concern, and `endpoint.py` for what an endpoint is."""
