"""Forecasts and dirty curves drawn: files, notebooks. matplotlib (extra ``plot``) is imported only when one is asked for."""
