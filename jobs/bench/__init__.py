"""`python -m jobs bench`: a file for each command, one with what they share, one that lists them."""
