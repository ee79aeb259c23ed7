"""The task's scenes, one by one and in batches."""
