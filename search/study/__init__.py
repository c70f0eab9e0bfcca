"""Proposes, records and stops trials; the only package that knows Optuna.

Nothing is imported here, because Optuna takes long to load: import `CampaignStudy` from `search.study.study`,
`Controller` from `search.study.controller`, and `StudySettings` from `search.study.settings`.
"""
