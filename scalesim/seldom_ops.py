"""The rest of the operation table: operations that few models use.

Engines may keep them out of the hot code. What the words mean, `scalesim.ops` says.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Operation", "SELDOM_OPERATIONS"]


class Operation(NamedTuple):
    """One row of the table."""

    name: str
    operands: str
    effect: str
    events: str = "none"
    records: str = "nothing"
    draws: str = "none"


SELDOM_OPERATIONS = (
    Operation(
        "SEND",
        "a: program, b: partition rule, tag",
        "SPAWN at the instance of the consumer whose partition the message falls into.",
        draws="one uniform, if partitions are chosen at random",
    ),
    Operation(
        "CONTEND",
        "a: station, b: sampler",
        "SHARE on processors that slow each other down: with n strands each progresses at "
        "min(1, c/n) / (1 + contention (n - 1) + coherency n (n - 1)) of full speed, the universal "
        "scalability law.",
        events="departure, as SHARE",
        records="as SHARE",
        draws="one demand",
    ),
    Operation(
        "BRANCH",
        "a: program counter, x: probability",
        "With probability x go on at a. Branches at one site compare the same number.",
        draws="one uniform",
    ),
    Operation(
        "FAIL", "x: probability", "With probability x fail with `failed`.", draws="one uniform"
    ),
    Operation(
        "WAIT",
        "a: program counter, b: sampler",
        "If a branch has completed or all have ended go on at a; else wait for that, the drawn "
        "time at most, and then go on.",
        events="timer, if the time is not zero",
        draws="one time",
    ),
    Operation(
        "WORK",
        "a: station, b: sampler",
        "Have a demand done by one of the station's cores: by an idle one, chosen as the station "
        "says, else first come first served by the next that is free. It takes demand / speed of "
        "the core. Work that a failing core leaves goes to an idle core, or else to the front of "
        "the line.",
        events="departure",
        records="arrival, served; wait time = time spent - time served",
        draws="one demand; one uniform if the choice of a core is random",
    ),
    Operation(
        "ENTER",
        "a: level",
        "Raise the level a + instance by one.",
        records="the time spent at each level, and how often each was entered from below",
    ),
    Operation("LEAVE", "a: level", "Lower the level a + instance by one.", records="as ENTER"),
    Operation(
        "ACQUIRE_WITHIN",
        "a: station, b: sampler, c: priority",
        "ACQUIRE; a strand that has waited the drawn time leaves the line and fails with "
        "`timed_out`.",
        events="timer, if it waits",
        records="as ACQUIRE; abandonment",
        draws="one patience, if it waits",
    ),
    Operation(
        "PREEMPT",
        "a: station, b: sampler, c: priority",
        "Use a core, with interruptions: those that come first in the station's order run (the "
        "last come, the least remaining demand, or the lowest priority number; ties first come "
        "first). Who is overtaken pauses, and resumes where it stopped.",
        events="departure when a strand starts or resumes; void when it is interrupted",
        records="arrival, served; wait time = sum of the pauses",
        draws="one demand",
    ),
    Operation(
        "FETCH",
        "a: cache, b: program counter when another's fetch has ended",
        "If a strand is fetching the key for cache a + instance, wait until it has, then go on at "
        "b or fail with the status that it had; else go on, as the one that fetches.",
        records="coalesced, if it waits",
    ),
    Operation(
        "FETCHED",
        "a: cache",
        "Let all who wait for this fetch go on, in the order they came, with this strand's status.",
    ),
    Operation(
        "WEAR",
        "a: station, b: sampler, c: cores of a unit, x: 1 to count only time in which it serves",
        "Let the drawn time pass for a unit of the cores of station a + instance: the c cores from "
        "c times the strand's key on.",
        events="timer",
        draws="one time",
    ),
    Operation(
        "BREAK",
        "a: station, c: cores of a unit",
        "Take a unit's cores down, as WEAR names them; their work stops where it is.",
    ),
    Operation(
        "REPAIR",
        "a: station, c: cores of a unit",
        "Take a unit's cores up again; the first in line resume or begin. Where times are recorded "
        "ones, the next failure takes the next of them.",
        events="departure",
    ),
    Operation(
        "COMMIT", "a: versions", "Make a version of the key; this strand and its spawn carry it."
    ),
    Operation(
        "APPLY", "a: versions", "Bring the key here to the version of the strand, if it is older."
    ),
    Operation(
        "CHECK",
        "a: versions, b: instances of a primary and its replicas",
        "A read is stale if the key is older here than at the primary, the first of b instances.",
        records="read; stale read",
    ),
    Operation(
        "START",
        "a: station, b: program, tag",
        "Go on if station a + instance runs, else wait until it does. If it is off, take its one "
        "slot and SPAWN the program, which starts it.",
        records="unless it runs arrival; the wait time, one served",
    ),
    Operation(
        "STARTED",
        "a: station",
        "It runs: give the slot back, and let all who wait go on in the order they came.",
    ),
    Operation(
        "STOP",
        "a: station, b: other station",
        "Switch station a + instance off if nobody holds a slot of station b + instance.",
    ),
    Operation(
        "PERMIT",
        "a: breaker, c: 1 to add the instance",
        "Ask the circuit breaker whether a call may be made; if not, fail with `rejected`.",
        records="rejection; the time spent in each state",
    ),
    Operation(
        "REPORT",
        "a: breaker, c: 1 to add the instance",
        "Tell the breaker how the call ended that it has permitted; fail if that has failed.",
        records="opening; the time spent in each state",
    ),
    Operation(
        "SHED",
        "a: station, b: threshold",
        "Fail with `rejected` if b or more are at station a + instance, waiting or served.",
        records="if so arrival, rejection",
    ),
    Operation(
        "ADMIT",
        "a: limiter",
        "Ask the limiter when it lets this strand through. If that is now, go on; else wait until "
        "then, or fail with `rejected`, as the limiter says.",
        events="departure, if it waits",
        records="arrival, rejection",
    ),
    Operation("ADMITTED", "a: limiter", "Be through.", records="wait time, served"),
    Operation(
        "GATHER",
        "a: batch rule",
        "Wait in line until a consumer at this instance takes a batch with this strand in it. It "
        "takes one when it is free and enough wait, or the first has waited for the longest "
        "linger; it takes the first in line, at most so many. The first goes on and is the leader; "
        "the others ride with it until its DISMISS.",
        events="timer, if the linger is finite; then on at on_fail",
        records="arrival; at the start of a batch each message's wait time, one batch",
    ),
    Operation(
        "OVERDUE", "a: batch rule", "The linger is over: start a batch, or wait for a consumer."
    ),
    Operation(
        "DISMISS",
        "a: batch rule, b: program counter of riders",
        "End a batch: riders go on at b, the consumer is free and takes the next batch. If the "
        "rule handles messages one by one, the next rider becomes the leader and this strand goes "
        "on at b.",
        records="served, for each",
    ),
    Operation(
        "POLL",
        "a: batch rule, b: program counter if there is none",
        "Be a consumer that looks: start a batch if one is due, else jump to b.",
        records="as GATHER",
    ),
    Operation(
        "NAP",
        "b: sampler, or -1, x: period",
        "Sleep for the drawn time, or until the next multiple of x.",
        events="timer",
        draws="one time, new for each nap of the strand",
    ),
    Operation(
        "HIT", "a: program counter", "Go on at a if this strand's last LOOKUP or CHANCE was a hit."
    ),
)
