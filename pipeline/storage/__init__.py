"""Where bytes lie: the output folder as a store of immutable files, URLs, and retries over networks."""
