"""Set-up: the two virtual environments, made from their lock files with Python alone or uv."""
