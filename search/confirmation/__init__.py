"""Confirms the winner of a campaign on folds and seeds that its search did not use, and judges it.

Nothing is imported here, because torch takes long to load: import `plan_confirmation` from `search.confirmation.plan`,
and `run_confirmation` from `search.confirmation.run`.
"""
