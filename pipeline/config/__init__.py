"""The job file: one pydantic model a section, every key checked, unknown keys refused."""
