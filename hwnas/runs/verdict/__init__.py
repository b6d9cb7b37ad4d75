"""What to think of a finished search, before any of its numbers: findings from the records in `front.json`.

Each finding is a plain sentence and what to do about it. A run at chance level, a budget that binds nothing
or a pick no better than a random network is said first: in the terminal, in `--json` and on the page.
What a run does not record (older runs record less) is left out.
"""

from .course import OUTSIDE
from .finding import LEVELS, Finding
from .judging import verdict

__all__ = ["LEVELS", "OUTSIDE", "Finding", "verdict"]
