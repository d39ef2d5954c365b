"""How the verbs write their results: tables, CSV, JSON, Parquet, and runs that are resumed."""
