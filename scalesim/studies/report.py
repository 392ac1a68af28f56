"""A forecast as sentences, a table, HTML and plain data."""

from __future__ import annotations

import html as _html
from typing import TYPE_CHECKING, Any

from scalesim.results.bottleneck import RESOURCE_WORDS, Bottleneck
from scalesim.results.text import plain
from scalesim.words import duration, number

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.studies.answer import Break, Forecast

__all__ = ["as_dict", "html", "summary", "table", "verdict"]


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 100 else f"{value:,.3g}/s"


def _range(low: float, high: float) -> str:
    return f"95 % interval {_rate(low)} to {_rate(high)}"


def _months(broken: Break) -> str:
    if broken.already:
        return "already today"
    low, high = broken.month_low, broken.month_high
    if broken.month is None:
        text = "in no month that growth reaches"
        return text if low is None else f"{text} (or, at the earliest, in month {low})"
    text = f"in month {broken.month}"
    if low == high:
        return text
    if high is not None:
        return f"{text} (between {low} and {high})"
    earliest = "" if low == broken.month else f"{low} at the earliest, "
    return f"{text} ({earliest}perhaps never)"


def _count_months(months: int) -> str:
    return f"{months} month" if months == 1 else f"{months} months"


def _what(broken: Break) -> str:
    return f"{RESOURCE_WORDS.get(broken.resource, broken.resource)} of {broken.component}"


def _percent(ratio: float) -> str:
    return f"{number(100 * ratio)} %"


def _verb(broken: Break) -> str:
    plural = RESOURCE_WORDS.get(broken.resource, "").endswith("s") and broken.resource != "apply"
    return "break" if plural else "breaks"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f} USD"


def verdict(forecast: Forecast) -> str:
    """Return what breaks, when, and what fixes it, as a person would say it."""
    broken = forecast.first_break
    if forecast.partial and broken is None:
        return "Interrupted before the breaking load was found."
    if broken is None:
        return (
            f"Nothing breaks: the objective holds up to {_rate(forecast.highest_rate)} at peak, "
            "the highest load simulated."
        )
    if broken.at_every_load:
        return f"{_missed_at_every_load(forecast, broken)} {_fix_sentence(forecast)}".strip()
    what, when = _what(broken), _months(broken)
    load = f"{_rate(broken.rate)} at peak ({_range(broken.rate_low, broken.rate_high)})"
    if broken.month is None or broken.month > forecast.months:
        return (
            f"Nothing breaks within {_count_months(forecast.months)}. First to break would be "
            f"{what}, at {load}, {when}."
        )
    text = f"{what[0].upper()}{what[1:]} {_verb(broken)} first: at {load}, {when}."
    if text.startswith(
        ("The memory", "The disk", "The inward", "The outward", "The room", "The apply")
    ):
        text = text.replace(" break first", " breaks first", 1)
    return f"{text} {_fix_sentence(forecast)}".strip()


def _missed_at_every_load(forecast: Forecast, broken: Break) -> str:
    objective = forecast.objective
    if broken.misses == "latency":
        assert objective.latency is not None
        is_so = f"{objective.quantile_name} latency is {duration(broken.latency, 4)}"
        limit = duration(objective.latency, 4)
    elif broken.misses == "error_ratio":
        assert objective.error_ratio is not None
        is_so = f"{_percent(broken.error_ratio)} of the requests fail"
        limit = _percent(objective.error_ratio)
    else:
        return f"No load can be carried: even at {_rate(broken.rate_high)} a line grows."
    idle = f"even at {_rate(broken.rate_high)}, when the system is idle"
    return f"The objective is missed at every load: {idle}, {is_so}; at most {limit} is allowed."


def _fix_sentence(forecast: Forecast) -> str:
    fix, broken = forecast.fix, forecast.first_break
    if fix is None:
        if forecast.partial:
            return ""
        if broken is not None and not broken.component:
            return "More capacity does not change that."
        return "No single lever that was simulated helps."
    after = fix.next_break
    if after is not None and not forecast.fix_helps:
        month = after.month or 0
        peak = _rate(forecast.peak_rate * forecast.growth.factor(month))
        load = f"the {peak} of month {month}" if month else f"today's {peak}"
        return (
            f"No single lever that was simulated carries {load}: {fix.lever} gets furthest; with "
            f"it {_what(after)} {_verb(after)}, at {_rate(after.rate)}."
        )
    text = f"Fix: {fix.lever}"
    if fix.holds:
        text += f"; then the objective holds for {_count_months(forecast.months)}"
        if after is not None:
            text += f" (next: {_what(after)}, at {_rate(after.rate)})"
    elif after is not None:
        text += f"; then {_what(after)} {_verb(after)}, {_months(after)}, at {_rate(after.rate)}"
    before, later = forecast.cost_before, forecast.cost_after
    if later is not None and before.total_usd_per_month is not None:
        text += (
            f". Cost: {_usd(before.total_usd_per_month)} a month now, "
            f"{_usd(later.total_usd_per_month)} with the fix"
        )
    return text + "."


def summary(forecast: Forecast) -> str:
    """Return the verdict first, then its reasons, the basis and the table."""
    lines = [verdict(forecast), ""]
    if forecast.partial:
        lines.insert(0, "PARTIAL: interrupted; what follows is what was computed until then.")
    broken = forecast.first_break
    if broken is not None:
        lines.append(f"Why: {_why(forecast, broken)}")
    if forecast.fix is not None:
        lines.append("Levers simulated: " + "; ".join(forecast.fix.tried))
    window = f"{forecast.peak_window / 60:g} minutes"
    lines += [
        f"Objective: {forecast.objective.describe()}.",
        f"Peak today: {_rate(forecast.peak_rate)}, the mean of the busiest {window} of the "
        f"traffic; {forecast.simulations} simulations at steady rates.",
        _cost(forecast),
    ]
    if forecast.points:
        frame = table(forecast)
        formats = {
            name: (lambda x: f"{x:.1%}") if name.endswith("ratio") else (lambda x: number(x, 4))
            for name in frame.columns
            if frame[name].dtype.kind == "f"
        }
        lines += ["", frame.to_string(index=False, formatters=formats, na_rep="-")]
    return "\n".join(lines)


def _cost(forecast: Forecast) -> str:
    cost = forecast.cost_before
    words = cost.describe()
    if cost.total_usd_per_month is None:
        return f"{words[0].upper()}{words[1:]}."
    return f"Cost now: {words}"


def _why(forecast: Forecast, broken: Break) -> str:
    """Return the numbers of the simulation that first missed the objective."""
    objective, evidence = forecast.objective, broken.evidence
    if not broken.component:
        if broken.misses == "latency":
            return (
                "hardly anybody waits at that load: the latency is that of the work and the calls."
            )
        return "nobody is turned away at that load: it is the work and the calls that fail."
    if broken.misses == "unstable":
        text = f"just above that load work comes faster than {_what(broken)} can do it: the line "
        text += "grows without end (unstable: no latency can be stated)"
    elif broken.misses == "latency":
        text = f"just above that load {objective.quantile_name} latency is "
        text += duration(broken.latency, 4)
    else:
        text = f"just above that load the error ratio is {broken.error_ratio:.2%}"
    text += f"; {evidence}"
    if evidence.wait_share > 0 and broken.misses != "unstable":
        text += f"; waiting there is {min(evidence.wait_share, 1.0):.0%} of all latency"
    return f"{text}{_in_front(broken)}."


def _in_front(broken: Break) -> str:
    """Return which lines in front of the resource that breaks are due to it, too."""
    if not broken.in_front:
        return ""
    if broken.misses == "unstable":
        lines = " and ".join(map(str, broken.in_front))
        return f"; the line is in front of {lines}, which are held meanwhile"
    shares = [f"{min(each.wait_share, 1.0):.0%} for {each}" for each in broken.in_front]
    return f"; in front of it they wait {' and '.join(shares)}, which are held meanwhile"


def table(forecast: Forecast) -> pd.DataFrame:
    """Return one row for each month."""
    import pandas as pd

    quantile = forecast.objective.quantile_name
    after = {point.month: point for point in forecast.after_fix}
    before_usd = forecast.cost_before.total_usd_per_month
    later = forecast.cost_after
    rows = []
    for point in forecast.points:
        row: dict[str, Any] = {
            "month": point.month,
            "peak_rps": point.rate,
            "busiest": point.busiest,
            "utilization_ratio": point.utilization,
            f"latency_{quantile}_ms": point.latency * 1e3,
            "error_ratio": point.error_ratio,
            "state": _state(point.stable, point.meets),
        }
        if before_usd is not None:
            row["cost_usd_per_month"] = before_usd
        if after:
            fixed = after[point.month]
            row[f"fixed_latency_{quantile}_ms"] = fixed.latency * 1e3
            row["fixed_state"] = _state(fixed.stable, fixed.meets)
            if later is not None and later.total_usd_per_month is not None:
                row["fixed_cost_usd_per_month"] = later.total_usd_per_month
        rows.append(row)
    return pd.DataFrame(rows)


def _state(stable: bool, meets: bool) -> str:
    return "unstable" if not stable else "ok" if meets else "missed"


def html(forecast: Forecast) -> str:
    """Return the text and the table as HTML for a notebook."""
    head = summary(forecast).split("\n\n")
    text = _html.escape("\n\n".join(head[:2]))
    frame = table(forecast).to_html(index=False, float_format=lambda x: number(x, 4), border=0)
    return f"<pre style='white-space: pre-wrap'>{text}</pre>{frame}"


def as_dict(forecast: Forecast) -> dict[str, Any]:
    """Return the forecast as plain data; nan becomes None, inf "inf"."""
    fix, later = forecast.fix, forecast.cost_after
    data = {
        "verdict": verdict(forecast),
        "partial": forecast.partial,
        "months": forecast.months,
        "growth": forecast.growth.encode(),
        "objective": forecast.objective.encode(),
        "peak_window_s": forecast.peak_window,
        "peak_rate_rps": forecast.peak_rate,
        "highest_rate_rps": forecast.highest_rate,
        "simulations": forecast.simulations,
        "first_break": _break_dict(forecast.first_break),
        "fix": None
        if fix is None
        else {
            "changes": fix.lever.changes,
            "text": str(fix.lever),
            "helps": forecast.fix_helps,
            "holds": fix.holds,
            "next_break": _break_dict(fix.next_break),
            "tried": list(fix.tried),
        },
        "cost_before": forecast.cost_before.to_dict(),
        "cost_after": None if later is None else later.to_dict(),
        "by_month": table(forecast).to_dict("records"),
    }
    out: dict[str, Any] = plain(data)
    return out


def _break_dict(broken: Break | None) -> dict[str, Any] | None:
    if broken is None:
        return None
    return {
        "component": broken.component,
        "resource": broken.resource,
        "rate_rps": broken.rate,
        "rate_low_rps": broken.rate_low,
        "rate_high_rps": broken.rate_high,
        "month": broken.month,
        "month_low": broken.month_low,
        "month_high": broken.month_high,
        "already": broken.already,
        "misses": broken.misses,
        "latency_s": broken.latency,
        "error_ratio": broken.error_ratio,
        **_evidence_dict(broken.evidence),
        "in_front": [
            {"component": each.component, "resource": each.resource, **_evidence_dict(each)}
            for each in broken.in_front
        ],
    }


def _evidence_dict(evidence: Bottleneck) -> dict[str, Any]:
    return {
        "utilization_ratio": evidence.utilization,
        "queue_depth_mean": evidence.queue_depth,
        "wait_mean_s": evidence.wait_mean,
        "wait_share_ratio": evidence.wait_share,
    }
