"""Where a checkpoint lies, and what it is."""
