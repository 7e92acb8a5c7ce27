"""What can start now, for every choice of a catalog, with the reason in a sentence."""
