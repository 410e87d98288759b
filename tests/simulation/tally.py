"""What schedules came to, in numbers that add up."""

from dataclasses import dataclass


@dataclass
class Tally:
    schedules: int = 0
    steps: int = 0
    crashes: int = 0  # of processes, by the schedule
    whole_losses: int = 0  # of all processes at once
    lost_answers: int = 0  # of operations that took effect, and were tried again
    late_requests: int = 0  # that arrived after their sender's death
    lost_contacts: int = 0  # with a process that went on
    poison_rows: int = 0
    poison_deaths: int = 0
    given_up: int = 0  # runs that a shard ended, since it killed whenever its rows ran together
    innocents_quarantined: int = 0  # with cause, see `invariant`
    extensions: int = 0  # plan files after a job's first

    def add(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
