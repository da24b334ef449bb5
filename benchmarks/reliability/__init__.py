"""Reliability and security, shown by figures: ``python -m benchmarks.reliability`` makes ``docs/reliability.md``."""
