"""Entrance for people: the ``erni`` command and the embedded stack's supervisor."""
