"""Registers the collection in SeqIO when imported: for gin files of trainers that only know names in SeqIO."""

from flanlite.mixtures import flan2021

flan2021.register()
