"""Mien beside its peers: each in an environment of its own, all on the same photos and crops (``compare_peers.py``)."""
