"""What every service runs on: the clock, tasks, the notifier, randomness, request context, logs and metrics."""
