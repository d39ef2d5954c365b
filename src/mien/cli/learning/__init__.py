"""The verbs that need the ``train`` extra."""
