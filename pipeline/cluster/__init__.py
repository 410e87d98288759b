"""The Ray session, what a job takes of it, and how Ray Data is to run."""
