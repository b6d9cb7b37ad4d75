"""What the commands of latency answer, a file per command: a JSON document, and the rows printed from it.

The commands themselves, with their options and help, are the files of these names one folder up; no typer
is needed here.
"""
