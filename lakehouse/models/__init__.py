"""Demand, segments, recommendations: each a model that is data, and a trainer that makes it from a frame.

`interface` says what both are. What answers (`demand`, `segments`, `recommendations`, `bundle`) needs numpy and LightGBM alone and is
imported by the service; what trains (`*_training`) uses pandas and scikit-learn and is not.
"""
