"""Statistics of the router by group: sums, tables and measures."""
