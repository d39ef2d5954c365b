"""One reader a corpus, and the registry that finds the right one."""
