"""Everything that runs many trainings: the space, the study, campaigns and what comes of them."""

import logging

# Whoever wants the log adds a handler (see `core.logs`); without one, Python would print warnings to the terminal.
logging.getLogger(__name__).addHandler(logging.NullHandler())
