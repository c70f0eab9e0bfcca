"""Plans and runs a campaign, and says how far it is.

Nothing is imported here, because torch takes long to load: import `plan_campaign` from `search.campaign.plan`, and
`run_campaign` from `search.campaign.run`.
"""
