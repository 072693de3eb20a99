"""The named recipes of GANs, as TOML files."""
