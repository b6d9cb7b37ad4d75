"""`hwnas export`: a source is opened, each variant is made in a stage of its own, all are measured.

`sources` opens what the user names, `job` lists the stages. How files are made, compared and scored stands in
`hwnas/exporting/`.
"""
