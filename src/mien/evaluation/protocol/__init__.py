"""Which faces are scored and how: the cross-corpus suite, leave-one-corpus-out, models against corpora."""
