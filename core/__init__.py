"""Everything that trains one model: data, features, losses, the network and its trainer."""

__version__ = "0.1.0"
