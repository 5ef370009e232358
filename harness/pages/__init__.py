"""Shared parts of leaderboard pages and reports: page frame, style, security policy, wording and bars.

Every page is self-contained. Styles, scripts and pictures are inlined, and the policy blocks everything else.
"""
