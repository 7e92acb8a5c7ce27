"""The nodes of a simulated cluster: their kubelets, devices, images and the processes they run."""
