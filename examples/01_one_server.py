"""One server, checked against theory: the M/M/1 queue.

Requests arrive at random (Poisson) at `rate`; one worker serves them one after another, for a time
that is exponential with mean S. Theory: utilization = rate x S, mean latency =
S / (1 - utilization).
"""

import scalesim as ss

SERVICE_TIME = ss.ms(10)

server = ss.Service("server", endpoints={"get": [ss.compute(ss.Exponential(SERVICE_TIME))]})
topology = ss.Topology(server, entry="server")

print("  rate   utilization      mean latency [ms]       p99 [ms]")
print("  [/s]    simulated      simulated   theory     simulated")
for rate in (20, 50, 80, 90, 95):
    results = ss.simulate(topology, ss.Traffic(rate), duration=ss.minutes(600))
    utilization = rate * SERVICE_TIME
    theory = SERVICE_TIME / (1 - utilization)
    print(
        f"{rate:6d} {results.bottleneck.utilization:12.3f} {results.latency.mean * 1e3:14.2f} "
        f"{theory * 1e3:8.2f} {results.latency.quantile(0.99) * 1e3:13.1f}"
    )

print("From 80/s to 95/s is 19 % more traffic and about four times the latency.")
