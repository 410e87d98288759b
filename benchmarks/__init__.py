"""How fast the engine is, on workloads that a seed fixes, and what was measured with it (*.md)."""
