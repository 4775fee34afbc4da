"""The drawings of the page, each a function from values of the run's files to a `Plot`, or None without such values."""
