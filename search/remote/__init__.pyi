from .archive import pack, unpack
from .download import Installed, install_results
from .job_log import follow_job
from .jobs import CampaignJob, Head, JobClient, connect, delete_job, newest_job, run_job, start_job
from .upload import collect_files, install_presets

__all__ = [
    "CampaignJob",
    "Head",
    "Installed",
    "JobClient",
    "collect_files",
    "connect",
    "delete_job",
    "follow_job",
    "install_presets",
    "install_results",
    "newest_job",
    "pack",
    "run_job",
    "start_job",
    "unpack",
]
