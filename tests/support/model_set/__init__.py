"""Models of a large application, to be put into a rendered project: one file a module."""
