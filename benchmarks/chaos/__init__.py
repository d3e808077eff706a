"""Real processes, killed at random: `python -m benchmarks.chaos`."""
