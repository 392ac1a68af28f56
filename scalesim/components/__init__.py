"""Components, one file a noun. Importing this registers all of them."""

from __future__ import annotations

from scalesim.components.base import COMPONENTS, Component, MachineComponent
from scalesim.components.cache import Cache
from scalesim.components.cached import cached
from scalesim.components.calls import Hedge, call, scatter
from scalesim.components.circuit_breaker import CircuitBreaker
from scalesim.components.database import Database
from scalesim.components.failures import Failures
from scalesim.components.load_balancer import LoadBalancer
from scalesim.components.message_queue import MessageQueue
from scalesim.components.rate_limiter import RateLimiter
from scalesim.components.retries import Retry
from scalesim.components.service import Endpoint, Service
from scalesim.components.steps import compute, fail, parallel, publish, sleep
from scalesim.components.workflow import Workflow

__all__ = [
    "COMPONENTS",
    "Cache",
    "CircuitBreaker",
    "Component",
    "Database",
    "Endpoint",
    "Failures",
    "Hedge",
    "LoadBalancer",
    "MachineComponent",
    "MessageQueue",
    "RateLimiter",
    "Retry",
    "Service",
    "Workflow",
    "cached",
    "call",
    "compute",
    "fail",
    "parallel",
    "publish",
    "scatter",
    "sleep",
]
