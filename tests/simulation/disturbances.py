"""What can happen at a step that asks something of the store: to its answer, its process, a run, or all."""

from typing import TYPE_CHECKING, Any

from pipeline.durable.operations import Create
from tests.simulation.actors import Actor, late
from tests.simulation.hostile_store import Operation

if TYPE_CHECKING:
    from tests.simulation.schedule import Schedule


def disturb(schedule: "Schedule", actor: Actor, operation: Operation) -> None:
    schedule.disturbances_left -= 1
    cluster, process, fate = schedule.cluster, actor.process, int(schedule.chance() * 10)
    if schedule.whole_losses and schedule.chance() < schedule.whole_losses:
        cluster.everything_dies()
        if type(operation) is Create and schedule.chance() < 0.2:
            cluster.asleep.append(Actor(None, late(operation), lambda answer: None))
    elif process is None or fate <= 1:
        schedule.note(actor, f"falls asleep before {shown(operation)}")
        actor.unanswered = operation
        cluster.actors.remove(actor)
        cluster.asleep.append(actor)
    elif fate == 2:
        schedule.kill(actor, process, f"before {shown(operation)}")
    elif fate == 3:
        schedule.apply(actor, operation)
        schedule.kill(actor, process, "before it has the answer")
    elif fate == 4 and type(operation) is Create:
        schedule.tally.late_requests += 1
        schedule.kill(actor, process, f"{shown(operation)} still on its way")
        cluster.asleep.append(Actor(None, late(operation), lambda answer: None))
    elif fate <= 6:
        schedule.tally.lost_answers += 1
        schedule.apply(actor, operation)
        schedule.note(actor, "gets no answer and tries again")
        actor.unanswered, actor.glance = operation, None
    elif fate == 7 and process.run is not None and process.kind != "driver":
        schedule.tally.lost_contacts += 1
        schedule.note(actor, "loses contact with its run and goes on")
        actor.unanswered = operation
        cluster.give_up(process)
    elif fate == 8 and process.run is not None:
        for run in list(cluster.runs) if schedule.chance() < 0.3 else [process.run]:
            if run.alive:
                cluster.kill_run(run)
    else:
        schedule.kill(actor, process, f"before {shown(operation)}")


def shown(thing: Any) -> str:
    if isinstance(thing, Create):
        return f"Create({thing.path}, {shown(thing.data)})"
    return text if len(text := repr(thing)) < 120 else text[:117] + "..."
