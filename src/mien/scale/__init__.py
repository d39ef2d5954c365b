"""Distributed prediction (extra ``scale``): blocks of photos, Ray workers, Parquet output."""
