"""The only writer: turns events into pictures, films, traces and sheets."""
