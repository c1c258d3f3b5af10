"""Measurements of this checkout on this machine: ``make bench``. Ratios are taken within one run."""
