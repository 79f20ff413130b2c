"""`python -m amity` is `amity`."""

from amity.cli import main

main()
