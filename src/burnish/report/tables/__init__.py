"""The tables of the page as rows of text, each a function from values of the run's files, or None without such."""
