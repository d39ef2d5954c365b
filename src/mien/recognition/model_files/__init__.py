"""Model files: content, metadata, limits for strangers' files, names of those inside the package."""
