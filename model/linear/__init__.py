"""How weights multiply rows: as they lie, laid out for the CPU, or quantized."""
