"""From finished shards to the output folder: parts, router tables, the report."""
