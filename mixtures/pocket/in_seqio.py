"""Registers the collection in SeqIO when imported: for gin files of trainers that only know names in SeqIO."""

from flanlite.mixtures import pocket

pocket.register()
