"""Corpora: readers that turn what people download into one ``FaceSet``."""
