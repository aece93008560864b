"""Waits that grow with the number of failed attempts."""
