"""All cases by name."""

from tests.hostile.bad_checkpoints import CHECKPOINTS
from tests.hostile.bad_folders import FOLDERS
from tests.hostile.bad_job_files import JOB_FILES
from tests.hostile.bad_json import JSON_LINES
from tests.hostile.bad_outputs import OUTPUTS
from tests.hostile.bad_paths import PATHS
from tests.hostile.bad_streams import STREAMS
from tests.hostile.bad_tables import TABLES
from tests.hostile.bad_templates import TEMPLATES
from tests.hostile.bad_values import VALUES
from tests.hostile.case import Case

CASES: dict[str, Case] = (
    JSON_LINES | STREAMS | TABLES | VALUES | PATHS | FOLDERS | TEMPLATES | CHECKPOINTS | JOB_FILES | OUTPUTS
)
