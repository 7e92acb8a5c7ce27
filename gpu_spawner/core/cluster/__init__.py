"""What a cluster is made of, as far as decisions need it: nodes, pods, and snapshots of both."""
