"""Stand-ins of the vendors on loopback: they speak the protocols, and listen with the local engines."""
