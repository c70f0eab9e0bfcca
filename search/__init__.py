"""Everything that runs many trainings: the search space, the study, campaigns, and their results.

The functions that a program needs to run and read a campaign can be imported from here; each is loaded when it is first
used.
"""

import logging

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Whoever wants the log adds a handler (see `core.logs`); without one, Python would print warnings to the terminal.
logging.getLogger(__name__).addHandler(logging.NullHandler())
