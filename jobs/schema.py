"""`python -m jobs schema`: the job file as a JSON Schema, for editors."""

import json

from jobs.arguments import exit_codes, writing_output


def schema() -> None:
    """Print the JSON Schema of job files, by which editors complete and check them.

    In a job file's first line: # yaml-language-server: $schema=job.schema.json
    """
    with exit_codes():
        from pipeline.config.json_schema import job_schema

        with writing_output():
            print(json.dumps(job_schema(), indent=2, ensure_ascii=False), flush=True)
