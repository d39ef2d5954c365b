"""Boxes and labels on images: fonts for any script, class names in many languages, files."""
