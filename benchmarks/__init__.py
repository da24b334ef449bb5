"""Benchmarks: this package beside its peers, in one run. ``python -m benchmarks``; see README.md in this folder."""
