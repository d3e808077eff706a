"""From an uploaded file to a dataset in canonical form: `python -m core.importing`, a process with limits.

Everything here reads what callers sent. It is kept free of torch, so that the process is small enough for its
limits to mean something; nothing is ever extracted to a path that a caller named.
"""
