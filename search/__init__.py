"""Everything that runs many trainings: the space, the study, campaigns and what comes of them."""
