"""One self-contained HTML page about a finished run.

`burnish.report.page.write_report` writes it; `burnish.report.format` has the numbers' spelling, which the
terminal shares. Nothing heavy is imported here, so that the terminal can use `format` at no cost.
"""
