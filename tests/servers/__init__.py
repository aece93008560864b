"""`nox -s servers`: the migrations and the rendered project's tests on many servers."""
