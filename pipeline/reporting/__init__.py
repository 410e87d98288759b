"""What people see: progress, router tables, figures and the report."""

import logging

# Before anything imports it: without a home it would warn that its cache is a temporary folder.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
