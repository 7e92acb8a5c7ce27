"""The DaemonSet controller of the embedded cluster: decisions as pure functions, and their loop."""
