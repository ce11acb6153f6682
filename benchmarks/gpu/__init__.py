"""What only a GPU can show, in parts that are measured one after another and resumed; see `__main__`."""
