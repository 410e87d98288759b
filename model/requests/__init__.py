"""What goes into the engine for a row, and what comes out. It needs no torch but for the tree of choices."""
