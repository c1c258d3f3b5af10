"""The environment turned into objects: settings, wiring, queue, logging."""
