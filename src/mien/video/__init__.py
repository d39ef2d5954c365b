"""Videos and cameras: read frames, follow people, write timelines and annotated copies."""
