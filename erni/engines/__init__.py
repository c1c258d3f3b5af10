"""Engines: one module per maker, each behind a port. Nothing here decides about jobs."""
