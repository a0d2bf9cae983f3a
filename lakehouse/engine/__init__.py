"""An engine is a Spark Connect endpoint: how to start one, or the URL of one that is there."""

from lakehouse.engine.endpoint import Endpoint, attach, remote, start
from lakehouse.engine.session import connect, explain

__all__ = ["Endpoint", "attach", "connect", "explain", "remote", "start"]
