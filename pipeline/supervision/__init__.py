"""Starts, stops and deaths: who watches a process, who stops a job, who is to blame."""
