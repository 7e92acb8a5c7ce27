"""Parts of cards that other schedulers than Kubernetes' own hand out, and how many are left."""
