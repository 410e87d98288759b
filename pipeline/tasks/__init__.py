"""The tasks: each file is one, with its section of the job file, its columns and what it asks the engine."""
