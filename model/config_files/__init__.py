"""What config.json and params.json say, as values of the right type."""
