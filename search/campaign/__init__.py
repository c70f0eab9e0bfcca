"""Plans, runs and backs up a campaign, and reports how far it is.

Nothing is imported here, because torch takes long to load: import `plan_campaign` from `search.campaign.plan`, and
`run_campaign` from `search.campaign.run`.
"""
