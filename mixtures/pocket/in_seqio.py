"""Registers the collection in SeqIO when imported: for gin files of trainers that know SeqIO's names only."""

from flanlite.mixtures import pocket

pocket.register()
