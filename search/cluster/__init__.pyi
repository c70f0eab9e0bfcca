from .address import is_job_server
from .nodes import Node, UnfitNodeError, check_machine, describe_this_machine
from .preflight import check_cluster
from .resources import TrialResources, allocate, choose_device
from .session import join_cluster, ray_session
from .software import Software, installed_software

__all__ = [
    "Node",
    "Software",
    "TrialResources",
    "UnfitNodeError",
    "allocate",
    "check_cluster",
    "check_machine",
    "choose_device",
    "describe_this_machine",
    "installed_software",
    "is_job_server",
    "join_cluster",
    "ray_session",
]
