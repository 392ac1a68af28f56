"""The operation table: what a simulated number means, in one place.

A component lowers itself into a program of these operations; every engine interprets them. A
*strand* is one thread of control that executes a program: a request, an attempt of a call with a
time-out or retries, a branch of a parallel step, a message, the applying of a write by a replica,
or something in the background that starts at time 0, such as the failures of a core.
`docs/reference/ops.md` is generated from `OPERATIONS`, whose last rows `scalesim.seldom_ops` holds.

Order of events. The key of an event is ``(time, class, sequence)``. At equal time departures come
before arrivals and arrivals before timers; equal class goes by the order of scheduling. A strand
that is unblocked (granted a slot, answered by a child, newly spawned) is *ready*: ready strands
continue first in, first out, after the strand now running blocks or ends and before the next
event. Steps that take no time make no event.

Failure. An operation that fails sets the strand's status and jumps to its ``on_fail``; a call whose
callee returned with a status other than `COMPLETED` does the same. Programs release what they hold
on that path, so that nothing leaks.

Withdrawal. A strand whose answer is no longer wanted may be withdrawn: it leaves the line that it
waits in, a service that it is in ends unfinished, the strands whose end it awaits are withdrawn
before it (the youngest first), and it goes on from there on the paths of failure to its end, at
once, with the status `timed_out`: RELEASE, UNRESERVE and SETTLE give back what it holds, LEAVE and
STOP are as ever, REPORT tells the breaker that there is no outcome, FETCHED fails those who wait
for its fetch, and anything else fails or is passed over. What it spawned and nobody awaits (a
message, the applying of a write, a start) stays.

Window. Everything is counted when it happens. A boundary at time t (end of warm-up, of a bucket of
the time series, of the run) takes effect before any event at t: the measured window is
``[warmup, duration)``.
"""

from __future__ import annotations

from scalesim.seldom_ops import SELDOM_OPERATIONS, Operation

__all__ = [
    "ACQUIRE", "ACQUIRE_WITHIN", "ADMIT", "ADMITTED", "APPLY", "ARRIVAL", "ATTEMPT", "BRANCH",
    "BREAK", "CALL", "CHANCE", "CHECK", "COMMIT", "COMPLETED", "CONTEND", "COUNT", "DELAY",
    "DEPARTURE", "DISMISS", "DROP", "ENTER", "FAIL", "FAILED", "FETCH", "FETCHED", "FILL",
    "FORK", "GATHER", "HIT", "JOIN", "JUMP", "LEAVE", "LOOKUP", "NAP", "OPERATIONS", "OUTCOMES",
    "OVERDUE", "Operation", "PERMIT", "PICK", "POLL", "PREEMPT", "RECORD", "REJECTED",
    "RELEASE", "REPAIR", "REPORT", "RESERVE", "RETRY", "RETURN", "ROUNDING", "ROUTE", "SEND",
    "SERVE", "SETTLE", "SHARE", "SHED", "SPAWN", "START", "STARTED", "STOP", "TAIL",
    "TIMED_OUT", "TIMER", "TRANSFER", "UNRESERVE", "WAIT", "WEAR", "WORK",
]  # fmt: skip

DEPARTURE, ARRIVAL, TIMER = 1, 2, 3
"""Classes of events, in order at equal time."""

ROUNDING = 1e-12
"""A wait found by subtraction counts as zero below this share of the clock: it is rounding."""

COMPLETED, REJECTED, TIMED_OUT, FAILED = 0, 1, 2, 3
"""Status of a strand, and outcome of a request; disjoint."""

OUTCOMES = ("completed", "rejected", "timed_out", "failed")


OPERATIONS = (
    Operation(
        "ACQUIRE",
        "a: station, c: priority",
        "Take a slot of station a + instance. If none is free, wait in the station's order: first "
        "come first served, last come first served, least demand, or lowest priority number; ties "
        "first come first served. If the waiting line is at its limit, fail with `rejected`.",
        records="arrival, rejection; at the grant the wait time",
    ),
    Operation(
        "RELEASE",
        "a: station",
        "Give a slot of station a + instance back. The first in line gets it and becomes ready.",
        records="one served",
    ),
    Operation(
        "SERVE",
        "a: station, b: sampler, c: priority",
        "ACQUIRE, hold for the drawn time, RELEASE, as one: the next in line starts at the very "
        "moment of the departure.",
        events="departure",
        records="arrival, rejection, wait time, served",
        draws="one service time, when the operation starts",
    ),
    Operation(
        "SHARE",
        "a: station, b: sampler",
        "Processor sharing: n strands on c cores each progress at rate min(1, c/n) until the drawn "
        "demand is done.",
        events="departure, at the earliest completion; rescheduled when the rate or the earliest "
        "completion changes",
        records="arrival, served; wait time = time spent - demand",
        draws="one demand",
    ),
    Operation("DELAY", "b: sampler", "Let the drawn time pass.", "departure", draws="one time"),
    Operation(
        "TRANSFER",
        "a: station, b: size sampler or -1 for the traffic's, c: 0 request or 1 response, "
        "x: seconds a byte",
        "SERVE whose time is the drawn size times x: a network card or a disk.",
        events="departure",
        records="as SERVE",
        draws="one size",
    ),
    Operation(
        "RESERVE",
        "a: station, b: amount",
        "Take b units (bytes of memory) of station a + instance at once, or fail with `failed`.",
        records="arrival, rejection",
    ),
    Operation("UNRESERVE", "a: station, b: amount", "Give b units back.", records="one served"),
    Operation(
        "CALL",
        "a: program, b: instance or -1 for the caller's, tag",
        "Run a program as a subroutine of this strand, at instance b, with the child key of tag. "
        "What the caller holds it goes on holding.",
    ),
    Operation(
        "TAIL",
        "a: program, b: as CALL, tag",
        "CALL as the last thing of a program: the callee returns to the caller's caller.",
    ),
    Operation(
        "RETURN",
        "-",
        "End of a program: back to the call. A strand's outermost program ends the strand; if it "
        "is a request, its latency is the time since it arrived, and a closed user thinks, then "
        "sends the next.",
        events="arrival, for a closed user",
        records="latency by endpoint and outcome, for a request",
        draws="one think time, for a closed user",
    ),
    Operation(
        "ROUTE",
        "a: balancer, b: 1 to add the instance, c: endpoint, tag",
        "Let the balancer's policy choose a target and CALL its program for endpoint c.",
        records="one routed; the target's requests in flight + 1",
        draws="as the policy says",
    ),
    Operation(
        "SETTLE", "-", "RETURN from a program that routed: the target's requests in flight - 1."
    ),
    Operation(
        "PICK",
        "a: shards or their hash ring, b: instances a shard, c: 0 key or 1 client, x: policy",
        "Choose the shard that holds the key (or client): instance = shard x b.",
    ),
    Operation(
        "LOOKUP",
        "a: cache, b: program counter on a miss",
        "A key that is present and not expired in cache a + instance is a hit: touch it and go "
        "on; else jump to b.",
        records="hit or miss",
    ),
    Operation(
        "FILL",
        "a: cache",
        "Insert or renew the key in cache a + instance; if it is full the eviction policy names a "
        "victim.",
        records="eviction",
        draws="as the policy says",
    ),
    Operation("DROP", "a: cache", "Remove the key from cache a + instance, if present."),
    Operation(
        "CHANCE",
        "a: cache, b: program counter on a miss, x: probability",
        "With probability x go on (a hit), else jump to b: a fixed hit ratio.",
        records="hit or miss",
        draws="one uniform",
    ),
    Operation(
        "ATTEMPT",
        "a: program, b: as CALL, c: 1 to cancel, x: time-out, tag",
        "Spawn a strand that runs the program and wait for it, x seconds at most. After the "
        "time-out go on with `timed_out`; the abandoned strand is withdrawn if c, else runs to its "
        "end.",
        events="timer, if x is finite",
    ),
    Operation(
        "RETRY",
        "a: retry rule, b: program counter of the next attempt",
        "If attempts are left, the last status is one to retry on and the caller does not give up, "
        "wait the back-off and jump to b, else fail with the last status.",
        events="timer, if the back-off is not zero",
        records="a failed first attempt; the back-off",
        draws="one uniform for giving up, one wait, one uniform for jitter, as the rule says",
    ),
    Operation(
        "FORK",
        "a: program, b: instance, -1 for this one's, c: how many to choose from or 0, x: number, "
        "tag",
        "Spawn a branch that JOIN waits for. If c, it goes to instance b + the x-th in a random "
        "order of 0 .. c - 1, another one for each x.",
        draws="x + 1 uniforms, if c",
    ),
    Operation(
        "JOIN",
        "a: branches that must complete, 0 for all, b: 1 to withdraw the others",
        "Wait until a branches have completed or no longer can; if 0, until every one has ended. "
        "Fail with the status of the first that failed, if too few have completed. Branches that "
        "have not ended run to their end, for nothing, unless they are withdrawn.",
    ),
    Operation(
        "SPAWN",
        "a: program, b: instance offset, tag",
        "Spawn a strand nobody waits for (a message, the applying of a write).",
    ),
    Operation(
        "RECORD",
        "a: tally, b: 0 spawned or 1 request",
        "Record the time since this strand was spawned, or since the request arrived that it "
        "serves.",
        records="it",
    ),
    Operation("COUNT", "a: counter", "Add one to a counter.", records="it"),
    Operation("JUMP", "a: program counter", "Go on at a."),
    *SELDOM_OPERATIONS,
)

(
    ACQUIRE, RELEASE, SERVE, SHARE, DELAY, TRANSFER, RESERVE, UNRESERVE, CALL, TAIL, RETURN, ROUTE,
    SETTLE, PICK, LOOKUP, FILL, DROP, CHANCE, ATTEMPT, RETRY, FORK, JOIN, SPAWN, RECORD, COUNT,
    JUMP, SEND, CONTEND, BRANCH, FAIL, WAIT, WORK, ENTER, LEAVE, ACQUIRE_WITHIN, PREEMPT, FETCH,
    FETCHED, WEAR, BREAK, REPAIR, COMMIT, APPLY, CHECK, START, STARTED, STOP, PERMIT, REPORT,
    SHED, ADMIT, ADMITTED, GATHER, OVERDUE, DISMISS, POLL, NAP, HIT,
) = range(len(OPERATIONS))  # fmt: skip
