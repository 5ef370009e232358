"""What the pages of a leaderboard and of a report share: frame, style, policy, words and marks.

A page needs nothing but itself: style, scripts and pictures are inside it, and its policy forbids the rest.
"""
