"""What a site offers: profiles, flavors and images, how they are written, chosen and compiled."""
