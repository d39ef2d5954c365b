"""Training: recipe → network → run folder → self-describing model file. The only importer of torch."""
