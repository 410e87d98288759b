"""A shard: a slice of an input file, the unit of work and of the commit."""

from dataclasses import dataclass

from pipeline.reading.formats import Format


@dataclass(frozen=True, slots=True)
class Shard:
    """A new field changes what plan files hold: raise FORMAT_VERSION in `pipeline.durable.job_spec`."""

    ordinal: int  # position in the plan, 0-based
    id: str  # sha256(digest of the job's spec | name | etag | range)[:16]
    file: str  # path or URL to open
    name: str  # the file as users see it: relative to the common folder of the input
    etag: str  # changes when the file does, see `pipeline.reading.etags`
    format: Format
    first_row: int  # number of its first row in the file, 0-based
    rows: int  # exact
    start: int  # jsonl: byte offset in the decompressed stream; parquet: first row group
    end: int  # exclusive
    skip: int = 0  # parquet: rows of the first row group that belong to earlier shards
    broken: bool = False  # jsonl: its last row stands for all that could not be decompressed
    kept: str = ""  # types of the job's kept columns, the same in all shards; see `KeptTypes`
