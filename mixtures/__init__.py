"""The collections: `flanlite.mixtures.NAME` defines one, and importing it registers its data sets. Nothing is imported from here."""
