"""Dynamic Resource Allocation: which devices there are, who holds them, who could have them."""
