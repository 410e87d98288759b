"""The Ray session, what a job takes of the cluster, and the settings of Ray Data."""
