"""Why something is not said here: one error for each rule, so that a page can say it in its own language.

RefusalError
├── ReadOnlyError          read_only
├── SlowError              slow_mode
├── WatchLongerError       watch_longer
├── LinksError             links
├── EmotesOnlyError        emotes_only
├── CapsError              caps
├── WordError              word
├── DuplicateError         duplicate
├── NoNewNamesError        no_new_names
├── NotApprovedError       not_approved   a moderator did not let it through
├── HeldFullError          held_full      too much waits already
├── BadRulesError          bad_rules      a rule was set to something it cannot be
└── CommandError           bad_command    a command that cannot be carried out; the text says what to do
"""

from ghostlive.chat.errors import RefusalError


class ReadOnlyError(RefusalError):
    """Only who moderates writes at the moment."""

    code = "read_only"


class SlowError(RefusalError):
    """Slow mode: their last message is not long enough ago."""

    code = "slow_mode"


class WatchLongerError(RefusalError):
    """They have not watched for long enough."""

    code = "watch_longer"


class LinksError(RefusalError):
    """Links are off."""

    code = "links"


class EmotesOnlyError(RefusalError):
    """Only emotes are welcome."""

    code = "emotes_only"


class CapsError(RefusalError):
    """Too many capital letters."""

    code = "caps"


class WordError(RefusalError):
    """It has a word that is not welcome."""

    code = "word"


class DuplicateError(RefusalError):
    """It was said already."""

    code = "duplicate"


class NoNewNamesError(RefusalError):
    """The shield is up: nobody new takes a name."""

    code = "no_new_names"


class NotApprovedError(RefusalError):
    """A moderator did not let it through."""

    code = "not_approved"


class HeldFullError(RefusalError):
    """Too much waits for a moderator already."""

    code = "held_full"


class BadRulesError(RefusalError):
    """A rule cannot be set to that."""

    code = "bad_rules"


class CommandError(RefusalError):
    """A command cannot be carried out."""

    code = "bad_command"
