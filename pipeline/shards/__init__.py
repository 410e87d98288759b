"""Input files cut into shards: the plan, reading a shard, and how Ray Data carries one."""
