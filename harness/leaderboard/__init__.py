"""A leaderboard is a git repository of signed results: made, added to, checked and shown by this package.

`board` reads one, `gate` decides what may come in, `submit` places a result, `site` makes the pages,
`create` makes a new one.
"""
