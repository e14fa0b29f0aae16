"""The betting platform itself: what is bet, by whom, and what the books say."""
