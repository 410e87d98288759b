"""Where a checkpoint lies, what must be in its folder, and what tells it from another."""
