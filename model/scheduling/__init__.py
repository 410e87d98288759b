"""Which rows run in a step, and which pages of the cache they have."""
