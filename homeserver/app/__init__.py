"""The composition root: the one place that knows every part, builds the server of them and runs it."""
