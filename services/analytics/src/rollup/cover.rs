//! Which buckets of which level answer a range exactly: the widest ones that fit
//! into it, narrower ones towards its ends, and single requests at the very ends.

use chrono::{DateTime, Utc};

use super::{LEVELS, Level};

/// What a segment is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Rollups of a level.
    Level(Level),
    /// Single requests.
    Requests,
}

/// A part of a range, for one bucket of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source: Source,
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
    /// Place of the answer's bucket, from 0.
    pub(crate) place: i32,
}

/// What the database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// From when on each level is complete, in the order of [`LEVELS`].
    pub(crate) complete_from: [DateTime<Utc>; LEVELS.len()],
    /// Before it, requests were dropped.
    pub(crate) requests_from: DateTime<Utc>,
}

/// Segments in the order of time, without overlaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) segments: Vec<Segment>,
}

impl Horizon {
    /// A moment that can be told from its neighbours: where requests were
    /// dropped, the start of the finest bucket that is left.
    pub(crate) fn snap(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        if at >= self.requests_from {
            return at;
        }
        let left = LEVELS.iter().zip(self.complete_from);
        left.map(|(level, from)| (level.floor(at), from))
            .find_map(|(floor, from)| (floor >= from).then_some(floor))
            .unwrap_or(at)
    }

    /// The same for errors, which only some levels have.
    pub(crate) fn of_errors(mut self) -> Self {
        for (level, from) in LEVELS.into_iter().zip(&mut self.complete_from) {
            if !level.has_errors() {
                *from = DateTime::<Utc>::MAX_UTC;
            }
        }
        self
    }

    /// The finest level that is complete since a moment.
    pub(crate) fn finest_since(&self, at: DateTime<Utc>) -> Option<Level> {
        let mut levels = LEVELS.iter().zip(self.complete_from);
        levels.find_map(|(level, from)| (from <= level.floor(at)).then_some(*level))
    }
}

impl Cover {
    /// Covers the parts between neighbouring bounds, each a bucket of the answer.
    pub(crate) fn new(bounds: &[DateTime<Utc>], horizon: &Horizon) -> Self {
        let mut cover = Self { segments: Vec::new() };
        for (place, pair) in (0..).zip(bounds.windows(2)) {
            cover.add(horizon.snap(pair[0]), horizon.snap(pair[1]), LEVELS.len(), place, horizon);
        }
        cover
    }

    /// Covers all by single requests.
    pub(crate) fn of_requests(bounds: &[DateTime<Utc>]) -> Self {
        let segments = (0..).zip(bounds.windows(2)).map(|(place, pair)| Segment {
            source: Source::Requests,
            start: pair[0],
            end: pair[1],
            place,
        });
        Self { segments: segments.collect() }
    }

    /// Covers a part with the `levels` finest levels.
    fn add(
        &mut self,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        levels: usize,
        place: i32,
        horizon: &Horizon,
    ) {
        if start >= end {
            return;
        }
        let Some(finer) = levels.checked_sub(1) else {
            self.segments.push(Segment { source: Source::Requests, start, end, place });
            return;
        };
        let level = LEVELS[finer];
        let first = level.ceil(start.max(horizon.complete_from[finer]));
        let last = level.floor(end);
        if first >= last {
            self.add(start, end, finer, place, horizon);
            return;
        }
        self.add(start, first, finer, place, horizon);
        let source = Source::Level(level);
        self.segments.push(Segment { source, start: first, end: last, place });
        self.add(last, end, finer, place, horizon);
    }

    /// The segments that are read from one source.
    pub(crate) fn of(&self, source: Source) -> impl Iterator<Item = &Segment> + '_ {
        self.segments.iter().filter(move |segment| segment.source == source)
    }

    /// Segments that rollups answer, neighbours of one bucket joined.
    pub(crate) fn rolled_up(&self) -> Vec<Segment> {
        let mut joined: Vec<Segment> = Vec::new();
        for segment in &self.segments {
            match joined.last_mut() {
                _ if segment.source == Source::Requests => {}
                Some(last) if last.end == segment.start && last.place == segment.place => {
                    last.end = segment.end;
                }
                _ => joined.push(*segment),
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn always() -> Horizon {
        let ever = at("0001-01-01T00:00:00Z");
        Horizon { complete_from: [ever; LEVELS.len()], requests_from: ever }
    }

    fn shown(cover: &Cover) -> Vec<String> {
        let short = |at: DateTime<Utc>| at.format("%d %H:%M:%S").to_string();
        let line = |segment: &Segment| {
            let width = match segment.source {
                Source::Level(level) => level.width,
                Source::Requests => 0,
            };
            format!("{width} {} {}", short(segment.start), short(segment.end))
        };
        cover.segments.iter().map(line).collect()
    }

    #[test]
    fn a_range_is_widest_in_its_middle_and_finest_at_its_ends() {
        let bounds = [at("2026-11-01T17:44:30Z"), at("2026-11-04T01:00:00Z")];
        assert_eq!(
            shown(&Cover::new(&bounds, &always())),
            [
                "0 01 17:44:30 01 17:45:00",
                "900 01 17:45:00 01 18:00:00",
                "21600 01 18:00:00 02 00:00:00",
                "86400 02 00:00:00 04 00:00:00",
                "3600 04 00:00:00 04 01:00:00",
            ]
        );
    }

    #[test]
    fn a_day_of_a_zone_of_half_hours_takes_twelve_buckets() {
        let cover =
            Cover::new(&[at("2026-11-01T18:30:00Z"), at("2026-11-02T18:30:00Z")], &always());
        let buckets = |segment: &Segment| match segment.source {
            Source::Level(level) => {
                (segment.end - segment.start).num_seconds() / i64::from(level.width)
            }
            Source::Requests => panic!("no requests are needed"),
        };
        assert_eq!(cover.segments.iter().map(buckets).sum::<i64>(), 2 + 5 + 3 + 2);
    }

    #[test]
    fn what_is_not_complete_is_read_from_what_is() {
        let mut horizon = always();
        horizon.complete_from[4] = at("2026-11-03T00:00:00Z");
        horizon.complete_from[3] = at("2026-11-02T06:00:00Z");
        horizon.complete_from[2] = at("2026-11-02T05:00:00Z");
        horizon.complete_from[1] = at("2026-11-02T05:00:00Z");
        horizon.complete_from[0] = at("2026-11-02T05:00:00Z");
        let bounds = [at("2026-11-02T00:00:00Z"), at("2026-11-04T00:00:00Z")];
        assert_eq!(
            shown(&Cover::new(&bounds, &horizon)),
            [
                "0 02 00:00:00 02 05:00:00",
                "3600 02 05:00:00 02 06:00:00",
                "21600 02 06:00:00 03 00:00:00",
                "86400 03 00:00:00 04 00:00:00",
            ]
        );
    }

    #[test]
    fn where_requests_were_dropped_bounds_move_to_the_finest_bucket_that_is_left() {
        let mut horizon = always();
        horizon.requests_from = at("2026-11-03T00:00:00Z");
        horizon.complete_from[0] = at("2026-11-02T00:00:00Z");
        let snapped = |text| horizon.snap(at(text)).to_rfc3339();
        assert_eq!(snapped("2026-11-01T10:20:30Z"), "2026-11-01T10:15:00+00:00");
        assert_eq!(snapped("2026-11-02T10:20:30Z"), "2026-11-02T10:20:00+00:00");
        assert_eq!(snapped("2026-11-03T10:20:30Z"), "2026-11-03T10:20:30+00:00");
    }

    proptest! {
        #[test]
        fn segments_cover_every_bucket_without_gap_or_overlap(
            mut micros in prop::collection::btree_set(0_i64..8 * 86_400_000_000, 2..12),
            minutes in any::<bool>(),
            from in prop::collection::vec(0_i64..8 * 1440, 5),
        ) {
            let start = at("2026-10-20T00:00:00Z");
            if minutes {
                micros = micros.into_iter().map(|micros| micros - micros % 60_000_000).collect();
            }
            let bounds: Vec<_> =
                micros.iter().map(|micros| start + TimeDelta::microseconds(*micros)).collect();
            let mut horizon = always();
            for (at, minutes) in horizon.complete_from.iter_mut().zip(from) {
                *at = start + TimeDelta::minutes(minutes);
            }
            let cover = Cover::new(&bounds, &horizon);
            for (place, pair) in (0..).zip(bounds.windows(2)) {
                let mut at = pair[0];
                for segment in cover.segments.iter().filter(|segment| segment.place == place) {
                    prop_assert_eq!(segment.start, at);
                    at = segment.end;
                    if let Source::Level(level) = segment.source {
                        let index = LEVELS.iter().position(|other| *other == level).unwrap();
                        prop_assert!(segment.start >= horizon.complete_from[index]);
                        prop_assert_eq!(level.floor(segment.start), segment.start);
                        prop_assert_eq!(level.floor(segment.end), segment.end);
                    }
                }
                prop_assert_eq!(at, pair[1]);
            }
        }
    }
}
