"""Which shards run beside each other in a replica, as the Turnstile of `pipeline.replicas` lets them."""

from tests.simulation.actors import Process, Trial


def enter(replica: Process, trial: Trial, alone: bool) -> bool:
    """Whether the trial may go on now; else it has to ask again."""
    if trial.entered:  # it comes back: others may go first
        leave(replica, trial)
        return False
    if not alone:
        if replica.inside < 0 or replica.waiting_to_be_alone:
            return False
        replica.inside += 1
    elif replica.inside == 0:
        replica.inside = -1
        replica.waiting_to_be_alone -= trial.waits_alone
        trial.waits_alone = False
    else:
        replica.waiting_to_be_alone += not trial.waits_alone
        trial.waits_alone = True
        return False
    trial.entered, trial.alone = True, alone
    return True


def leave(replica: Process, trial: Trial) -> None:
    if trial.entered:
        replica.inside = 0 if trial.alone else replica.inside - 1
        trial.entered = False
