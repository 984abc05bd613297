-- Takes changes of rate limits in the binary format; the columns are those of `Change`.
COPY rate_limit_changes (
    upstream, client_key, kind, window_name, bucket, seen_at, resets_at, allowed, remaining,
    headroom, lowest_at, lowest_remaining, lowest_headroom, refused
) FROM STDIN (FORMAT binary)
