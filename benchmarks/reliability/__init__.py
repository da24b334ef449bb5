"""Reliability and security, shown by figures: ``python -m benchmarks.reliability`` writes the table of ``docs/reliability.md``."""
