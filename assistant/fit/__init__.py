"""Will it fit, where does it land, how fast: pure arithmetic, values in, values out."""
