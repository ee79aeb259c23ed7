"""The task's synthetic scenes: noise, lines and at most one arrow-shaped ship; single scenes and whole batches."""
