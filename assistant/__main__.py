"""`python -m assistant` runs the same program as the `assistant` command."""

from assistant.cli.main import main

if __name__ == "__main__":
    main()
