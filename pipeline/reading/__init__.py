"""From the job's input paths to bytes, lines and columns: JSONL and Parquet files, compressed or not."""
