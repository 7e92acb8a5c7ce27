"""The API server of the embedded cluster: what is kept, who may do what, and how it answers."""
