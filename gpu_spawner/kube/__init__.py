"""What is seen and written: the only package that talks to Kubernetes."""
