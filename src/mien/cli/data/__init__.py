"""The verbs of ``mien data``."""
