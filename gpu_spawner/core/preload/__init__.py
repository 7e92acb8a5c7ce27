"""Which images should be on which nodes, and what to do about it: plans, readiness, steering."""
