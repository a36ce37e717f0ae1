"""The commands: click, one small module per command; `output` is the only place that prints."""
