"""What goes into the engine for a row, and what comes out. Importing it loads no torch."""
