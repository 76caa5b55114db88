"""Measures what Longhaul costs, each figure beside a peer's from the same run: `python -m benchmarks`."""
