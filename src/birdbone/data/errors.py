"""Errors of the data room.

```text
DataError
├── DataNotFoundError      data.not_found            no such file, folder or hub dataset
├── UnknownFormatError     data.unknown_format       a suffix that is not read
├── NotUtf8Error           data.not_utf8             a text file in another encoding
├── BadRecordError         data.bad_record           a line that is not JSON, a broken Parquet file
├── MissingFieldError      data.missing_field        records without the text field
├── TooLittleTextError     data.too_little_text      fewer characters or tokens than needed
└── HubUnreachableError    data.hub_unreachable      the hub does not answer or refuses
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class DataError(BirdboneError):
    """Something is wrong with the text that a run was given."""

    code = "data.error"
    kind: ErrorKind = "invalid"


class DataNotFoundError(DataError):
    """No file, folder or hub dataset has this name."""

    code = "data.not_found"
    kind: ErrorKind = "not_found"
    hint = "Give `bundled`, a .txt, .jsonl or .parquet file, a folder of these, or a hub dataset as `owner/name`."


class UnknownFormatError(DataError):
    """A file, or every file of a folder, has a suffix that is not read."""

    code = "data.unknown_format"
    hint = "Readable are .txt, .jsonl and .parquet."


class NotUtf8Error(DataError):
    """A text file is not UTF-8."""

    code = "data.not_utf8"
    hint = "Convert it first, for example `iconv -f LATIN1 -t UTF-8 old.txt > new.txt`."


class BadRecordError(DataError):
    """A record cannot be read; the message names the file and, in a text file, the line."""

    code = "data.bad_record"
    hint = "Mend or remove the record named above."


class MissingFieldError(DataError):
    """Records have no text under the field that was asked for; the message names the fields found."""

    code = "data.missing_field"
    hint = "Set `text_field` to the field that holds the text."


class TooLittleTextError(DataError):
    """There is less text than the task needs; the message says how much there is and how much is needed."""

    code = "data.too_little_text"
    hint = "Give more text, a smaller window or fewer windows."


class HubUnreachableError(DataError):
    """The hub does not answer, or refuses."""

    code = "data.hub_unreachable"
    kind: ErrorKind = "unavailable"
    hint = "Check the network, or use `bundled` or a local file: neither needs a network."
