"""Searches of other libraries beside ours, on learning curves that are known, in virtual time.

`python -m benchmarks.peers (--lcbench FOLDER | --table FILE) OUTPUT` simulates a campaign of each search for each task
and seed, with the same number of workers and of epochs, and prints what each of them had found at a quarter, at half
and at the end of the epochs. `campaign.py` says what a search must do; each library has one adapter.
"""
