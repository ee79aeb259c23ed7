"""The training loop, its configs, checkpoints and logs."""
