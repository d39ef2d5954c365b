"""Photos on many cores and machines (extra ``scale``): blocks of photos, Ray workers, Parquet."""
