"""Everything that trains one model: data, features, losses, the network and its trainer.

The functions that the training guide starts with can be imported from here; they are loaded when first used, because
`core` itself is imported by every command, and torch takes seconds.
"""

import logging

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Whoever wants the log adds a handler (see `core.logs`); without one, Python would print warnings to the terminal.
logging.getLogger(__name__).addHandler(logging.NullHandler())
