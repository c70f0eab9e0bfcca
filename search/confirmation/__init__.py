"""Confirms the winner of a campaign on folds and seeds that its search did not use, and judges it."""
