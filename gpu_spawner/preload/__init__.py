"""The image preloader's loop: look, plan, carry out; in the hub or by itself."""
