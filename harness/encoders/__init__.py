"""Encoders: what a user hands over, loaded and ready to embed frames. No labels and no game here."""
