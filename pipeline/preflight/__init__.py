"""What is found out before anything loads: the job, its plan, its forecast, its doctor."""
