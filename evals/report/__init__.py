"""What one shows to others: findings on one or more results as one HTML file, Markdown, CSV, or a model card's block.

gather -> Findings (tables) -> html | markdown | csv | model card. The pages show the same tables.
"""
