"""The HTTP service: forecasts, segments and recommendations from the published features and the registered models.

It never imports Spark, Great Expectations or Papermill, and never loads a pickle. Begin with `app.py`: the whole service on one screen.
"""
