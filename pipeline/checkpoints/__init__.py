"""Where a checkpoint lies, how it comes to this machine, and what tells it from another."""
