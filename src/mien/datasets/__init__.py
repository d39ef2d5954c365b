"""Corpora: readers for what people download, the manifest that indexes it, splits, and the guard against leaks."""
