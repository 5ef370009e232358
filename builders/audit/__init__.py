"""The audit of labels: what each variable turns out to be, measured (docs/audit.md).

`audit.audit` is the whole; `play` and `deep` give what is looked at, `cause`, `claims`, `alignment`,
`information` and `facts` look, each at one thing.
"""
