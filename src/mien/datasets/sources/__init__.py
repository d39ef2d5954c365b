"""Folders, zips, tars, CSV files and arrays: where images lie, behind one interface."""
