"""Makes the sections of a report, each from what is known of a campaign, in a module of its own.

The names in `__init__.pyi` can be imported from here; each loads its module when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
