"""Former name of the package `condense`: `python -m gadc` goes on working."""
