"""Films and cameras: read, follow, write down, draw."""
