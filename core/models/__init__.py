"""The network: its layers, its predictions of windows, the memory it needs, and the files its weights are kept in.

The names in `__init__.pyi` can be imported from here; each loads its module when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
