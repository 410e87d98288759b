"""How weights multiply rows: as they are, in the CPU library's layout, or quantized."""
