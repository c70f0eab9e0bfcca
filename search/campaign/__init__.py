"""Plans and runs a campaign, and says how far it is."""
