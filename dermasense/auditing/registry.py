"""All audits by name, in the order in which they are shown; a new one is a file and a line here."""

from dermasense.auditing.counts import Counts
from dermasense.auditing.duplicates import Duplicates
from dermasense.auditing.finding import Audit
from dermasense.auditing.label_errors import LabelErrors
from dermasense.auditing.leak import Leak
from dermasense.auditing.shortcuts import Shortcuts
from dermasense.auditing.slices import Slices
from dermasense.auditing.unreadable import Unreadable

AUDITS: dict[str, type[Audit]] = {
    audit.name: audit
    for audit in (Counts, Unreadable, Duplicates, LabelErrors, Shortcuts, Leak, Slices)
}
