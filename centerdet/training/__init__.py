"""The training loop, its configs and its record."""
