"""Versions of models, who of them answers, and why: the only place that imports MLflow.

`loading` finds and opens registered models without MLflow, for the service; the other modules write with it.
"""
