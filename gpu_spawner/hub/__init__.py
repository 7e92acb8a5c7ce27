"""What the user meets: the only package that imports JupyterHub, KubeSpawner and tornado."""
