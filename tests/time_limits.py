"""The one time limit of tests that is short on purpose."""

from __future__ import annotations

SURE_TO_EXPIRE = 0.1
"""Seconds, for a wait that nothing but its limit can end, because the other side is silent for ever.

However slow the machine, the wait ends by the limit, so that a short one makes the test quick and cannot make it fail.
All that has to succeed before (connecting, loading, packets that the test looks at) must have happened by then, or have
a limit of its own.
"""
