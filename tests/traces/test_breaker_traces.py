"""Circuit breakers: which calls they let through, when they open and close."""

from __future__ import annotations

from traces.tracing import both_engines, metric, near, outcomes, run

import scalesim as ss
from scalesim.components import CircuitBreaker


def guarded(breaker: CircuitBreaker, serve: float, hold: float, backlog: int = 0):
    """Return a front whose `get` calls a server through a breaker, and whose `hog` holds that."""
    steps = {"get": [ss.call("back.get", breaker=breaker)], "hog": [ss.call("back.hog")]}
    work = {"get": [ss.sleep(serve)], "hog": [ss.sleep(hold)]}
    front = ss.Service("front", workers=99, endpoints=steps)
    return front, ss.Service("back", backlog=backlog, endpoints=work)


CALL = "get.0->back.get"


@both_engines
def test_failures_in_a_row(engine) -> None:
    breaker = CircuitBreaker(consecutive_failures=3, open_time=5.0, trial_calls=2)
    parts = guarded(breaker, serve=0.5, hold=10.0)
    at = [0, 1, 2, 3, 4, 7.875, 8, 12, 13, 13.25, 18.25, 19, 20]
    endpoint = ("hog", *["get"] * 12)
    results = run(engine, *parts, at=at, endpoint=endpoint, duration=25)
    # The server is held until 10. Open from 3; the trial at 8 fails; of those from 13 on the second
    # does, while the first is under way: its success at 13.5 is not noted. From 18.25 on both end
    # well.
    rejected = dict.fromkeys((1, 2, 3, 4, 7.875, 8, 12, 13.25), "rejected")
    expected = [(10.0, "completed")]
    expected += [(t, "rejected") if t in rejected else (t + 0.5, "completed") for t in at[1:]]
    assert outcomes(results) == expected
    assert metric(results, "front", f"breaker_rejected[{CALL}]") == 3
    assert metric(results, "front", f"breaker_opened[{CALL}]") == 3
    assert metric(results, "front", f"offered_rate_rps[{CALL}]") == near(9 / 25)
    shares = results.time_shares("front", f"breaker[{CALL}]")
    half_open = 0.25 + (19.5 - 18.25)
    assert shares == near([(3 + 5.5) / 25, half_open / 25, 15 / 25])


@both_engines
def test_share_of_the_last_calls(engine) -> None:
    breaker = CircuitBreaker(window=4, minimum_calls=3, open_time=10.0, trial_calls=2)
    parts = guarded(breaker, serve=0.25, hold=1.0)
    # Fails at 0.5 (one of one, too few), 3.25 (one of the last four) and 3.5 (two of them: open).
    at = [0, 0.5, 1.25, 1.75, 2.25, 2.75, 3, 3.25, 3.5, 13.25, 13.5, 14.5, 15]
    endpoint = ["hog" if t in (0, 3) else "get" for t in at]
    breaks = (0.5, 3.25, 3.5, 13.25)
    results = run(engine, *parts, at=at, endpoint=tuple(endpoint), duration=20)
    assert outcomes(results) == [
        (t, "rejected") if t in breaks else (t + (1.0 if what == "hog" else 0.25), "completed")
        for t, what in zip(at, endpoint, strict=True)
    ]
    assert metric(results, "front", f"breaker_rejected[{CALL}]") == 1
    assert metric(results, "front", f"breaker_opened[{CALL}]") == 1
    shares = results.time_shares("front", f"breaker[{CALL}]")
    assert shares == near([(3.5 + 5.25) / 20, 1.25 / 20, 10 / 20])


@both_engines
def test_trials_of_which_too_many_fail(engine) -> None:
    breaker = CircuitBreaker(window=2, open_time=4.0, trial_calls=2)
    parts = guarded(breaker, serve=0.25, hold=7.0)
    # Two of two fail; of the trials at 6 and 7.5 the first does, which is half: open until 11.75.
    at = [0, 1, 2, 5, 6, 7.5, 11.5, 11.75]
    results = run(engine, *parts, at=at, endpoint=("hog", *["get"] * 7), duration=20)
    expected = ["rejected"] * 4 + ["completed", "rejected", "completed"]
    assert [outcome for _, outcome in outcomes(results)[1:]] == expected
    assert metric(results, "front", f"breaker_rejected[{CALL}]") == 2


@both_engines
def test_a_trial_that_is_withdrawn_has_no_outcome(engine) -> None:
    breaker = CircuitBreaker(consecutive_failures=1, open_time=9.5, trial_calls=1)
    middle, back = guarded(breaker, serve=0.25, hold=5.0, backlog=1)
    steps = {"get": [ss.call("front.get", timeout=1.0, cancel=True)], "hog": [ss.call("front.hog")]}
    edge = ss.Service("edge", workers=99, endpoints=steps)
    # Held until 15, and the line is full when the first call fails. The trial at 10.5 waits until
    # it is withdrawn, at 11.5; so there may be another at 14.5, which closes.
    at = [0, 0.25, 1, 5.5, 10.5, 11, 14.5, 16]
    names = ("hog", "hog", "get", "hog", "get", "get", "get", "get")
    results = run(engine, edge, middle, back, at=at, endpoint=names, duration=20)
    assert outcomes(results) == [
        (5.0, "completed"),
        (10.0, "completed"),
        (1.0, "rejected"),
        (15.0, "completed"),
        (11.5, "timed_out"),
        (11.0, "rejected"),
        (15.25, "completed"),
        (16.25, "completed"),
    ]
    assert metric(results, "front", f"breaker_rejected[{CALL}]") == 1


@both_engines
def test_retries_ask_the_breaker_each_time(engine) -> None:
    breaker = CircuitBreaker(consecutive_failures=2, open_time=5.0, trial_calls=1)
    step = ss.call("back", timeout=1.0, breaker=breaker, retry=ss.Retry(9, backoff=1.0, factor=1.0,
                   jitter="none"))  # fmt: skip
    front = ss.Service("front", workers=9, endpoints={"get": [step]})
    back = ss.Service("back", workers=9, endpoints={"get": [ss.sleep(2.0)]})
    results = run(engine, front, back, at=[0], duration=30)
    # Attempts at 0 and 2 time out, at 3 the breaker opens; 4, 5, 6, 7 are refused, the trial at 8
    # fails at 9; 10 and 11 are refused.
    assert outcomes(results) == [(11.0, "rejected")]
    assert metric(results, "front", "breaker_rejected[get.0->back]") == 6
    assert metric(results, "front", "breaker_opened[get.0->back]") == 2


@both_engines
def test_each_instance_has_its_own_breaker(engine) -> None:
    breaker = CircuitBreaker(consecutive_failures=1, open_time=50.0)
    front = ss.Service(
        "front", instances=2, workers=9, endpoints={"get": [ss.call("back", breaker=breaker)]}
    )
    back = ss.Service("back", backlog=0, endpoints={"get": [ss.sleep(1.5)]})
    edge = ss.LoadBalancer("edge", targets="front")
    results = run(engine, edge, front, back, at=[0, 1, 2, 3, 4, 5], duration=10)
    # Instance 1 has failed at 1; instance 0 goes on.
    expected = ["completed", "rejected"] * 3
    assert [outcome for _, outcome in outcomes(results)] == expected
    assert metric(results, "front", "breaker_rejected[get.0->back]") == 2
