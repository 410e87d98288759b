"""What a job has published, as a test reads it."""

from pathlib import Path

import pandas as pd

from pipeline.config.job import JobConfig


def generations(config: JobConfig) -> pd.DataFrame:
    """All rows, in the order of the input."""
    return pd.read_parquet(Path(config.output.path) / "generations").sort_values("row", ignore_index=True)
