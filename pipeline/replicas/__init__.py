"""A replica of the model as a Ray actor: its engine, and the shards that it runs."""
