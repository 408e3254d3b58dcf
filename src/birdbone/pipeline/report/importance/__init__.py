"""What is told of a model's importance: rows, files, pictures and a page.

`tables` makes plain rows and writes them, `page` the interactive page, `pictures` PNG and SVG (extra `plots`). The
figures come from `compress.importance.analysis`; nothing is measured here.
"""
