"""Chaos run: a whole stack under seeded faults, with a scripted engine that keeps book of every call."""
