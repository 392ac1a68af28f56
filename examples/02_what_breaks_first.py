"""What breaks first as traffic grows 15 % a month, in which month, why, and what fixes it."""

import scalesim as ss

shop = ss.Topology(
    ss.LoadBalancer("edge", targets="web", policy="least_connections"),
    ss.Service(
        "web",
        instances=2,
        workers=32,
        cores=2,
        cost_per_hour=0.10,
        endpoints={
            "browse": [ss.compute(ss.Exponential(ss.ms(4))), ss.call("db.read")],
            "order": [ss.compute(ss.Exponential(ss.ms(9))), ss.call("db.write")],
        },
    ),
    ss.Database(
        "db",
        connections=60,
        cores=16,
        cost_per_hour=0.80,
        read=ss.Exponential(ss.ms(5)),
        write=ss.Exponential(ss.ms(8)),
    ),
    entry="edge",
)
answer = ss.forecast(
    shop,
    ss.Traffic(150, mix={"browse": 0.9, "order": 0.1}),
    growth=ss.Compound(0.15),
    months=18,
    objective=ss.Objective(latency=ss.ms(300), error_ratio=0.001),
)
print(answer.verdict)
if answer.first_break and answer.fix:  # else it holds all 18 months, or nothing would help
    print("Why:", answer.first_break.evidence)
    print("Levers that were simulated:", *answer.fix.tried, sep="\n  ")
