"""What does the same no-op work: the bridge, and what people would use instead of it."""
