"""Demand, segments, recommendations: each a model that is data, and a trainer that makes it from a frame.

`interface` says what both are. What answers (`demand`, `segments`, `recommendations`, `bundle`) needs numpy and LightGBM alone and is
imported by the service; what trains (`*_training`) uses pandas and scikit-learn and is not.
"""

import os

# Threads that wait for each other by spinning take the cores from those that they wait for: on a busy machine a training of a second took minutes. Stages
# have this from their runner; whoever trains in a notebook of their own has it from here, if nothing has loaded OpenMP before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
