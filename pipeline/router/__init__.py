"""What the router did, by group: sums, tables and measures."""
