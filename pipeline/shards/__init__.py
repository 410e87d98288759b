"""Input files cut into shards: the plan, and a shard's way through Ray Data."""
