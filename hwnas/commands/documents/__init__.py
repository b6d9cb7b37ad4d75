"""What commands answer: one JSON document each, and the rows that are printed from it. No typer here."""
