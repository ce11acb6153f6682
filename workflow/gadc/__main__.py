"""`python -m gadc COMMAND`, the same as `python -m condense COMMAND`."""

from condense.__main__ import main

if __name__ == "__main__":
    main()
