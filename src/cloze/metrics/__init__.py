"""What benchmarks measure, as pure functions."""
