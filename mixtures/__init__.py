"""The collections. Each is a package `flanlite.mixtures.NAME` that registers its data sets when it is imported; none is imported here."""
