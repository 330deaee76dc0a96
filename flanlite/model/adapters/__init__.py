"""Adapters: a few parameters that train beside a model whose own stay as they are."""
