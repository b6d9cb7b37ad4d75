"""Model files: the one door through which a user's file comes in, and its int8 form."""
