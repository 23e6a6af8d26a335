"""Tables as lazy typed columns, from CSV, Parquet, frames and arrays. Knows nothing of divergences."""
