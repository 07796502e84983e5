"""Metrics of benchmarks, as pure functions."""
