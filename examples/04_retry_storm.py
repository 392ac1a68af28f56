"""A retry storm: 30 seconds of too much traffic, and an overload that does not end with it.

A client that times out walks away, but its request goes on using the server. With retries each
request then costs several attempts, and the server stays full of work that nobody waits for.
"""

import scalesim as ss

server = ss.Service(
    "server",
    workers=64,
    cores=4,
    endpoints={"get": [ss.compute(ss.Exponential(ss.ms(10)))]},  # at most 400/s
)
topology = ss.Topology(server, entry="server")
spike = ss.RateProfile([300] * 3 + [600] + [300] * 16, bucket=30, repeat=False)


def share_answered(retry: ss.Retry | None) -> list[float]:
    """Return the share of requests that completed in each 30 s."""
    traffic = ss.Traffic(spike, timeout=1.0, retry=retry)
    table = ss.simulate(topology, traffic, duration=600, warmup=0).series()
    return [1 - table["error_ratio"][i : i + 3].mean() for i in range(0, len(table), 3)]


patient = share_answered(None)
eager = share_answered(ss.Retry(4, backoff=ss.ms(100)))
print("time [s]   answered without retries   with up to 4 attempts")
for i, (once, retried) in enumerate(zip(patient, eager, strict=True)):
    note = "   <- the spike" if i == 3 else ""
    print(f"{i * 30:8d} {once:26.0%} {retried:23.0%}{note}")
print(f"In the last minute: {patient[-1]:.0%} without retries, {eager[-1]:.0%} with retries.")
