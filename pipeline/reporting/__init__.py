"""What people see: progress, router tables, figures and the report."""
