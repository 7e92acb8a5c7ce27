"""Where a pod would go, and how many like it: the scheduler's rules on a snapshot."""
