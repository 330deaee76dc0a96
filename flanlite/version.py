"""The version, for all that records which flanlite made it."""

__version__ = '0.1.0'
