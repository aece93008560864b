"""Measured comparisons; no test depends on time."""
