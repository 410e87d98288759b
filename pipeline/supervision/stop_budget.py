"""How long each step of a stop may take. Ten seconds from the signal to the exit code are promised.

The steps follow one another: finished shards are committed, Ray's part of the run is left, the report is
written, and Ray is shut down. When its time is over, a step gives way to the next, however Ray, the store or
a disk behaves.
"""

SECONDS_PROMISED = 10.0
SECONDS_TO_GIVE_UP = 3.0  # for the replicas; one that died never gives its shard up
SECONDS_TO_COMMIT = 4.5  # and for the replicas to give up, and to note what they did not
SECONDS_TO_LEAVE = 1.0  # the stages in Ray Data, and the coordinator: half of it each
SECONDS_TO_REPORT = 2.0
SECONDS_TO_SHUT_DOWN = 1.0
SECONDS_TO_THE_LAST_RESORT = 9.5  # then the process ends whatever it is doing
