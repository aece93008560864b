"""The measured comparisons; never a timed test."""
