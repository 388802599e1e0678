"""Recipe + corpora -> prepared shards -> run directory -> checkpoint."""
