"""From the job's input paths to raw rows: files, the plan of shards, and reading a shard."""
