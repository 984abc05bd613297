//! Numbers, limits, acknowledgements and stand-ins of the spool.

use bytes::Bytes;

use super::*;

fn event(number: u64) -> EncodedEvent {
    number.to_string().into()
}

fn spool_of(events: u64, limit: usize) -> (Spool, Place) {
    let mut spool = Spool::new(WINDOW, limit);
    spool.append((1..=events).map(|number| (event(number), Origin::Memory)));
    let place = spool.rewind();
    (spool, place)
}

fn ids(events: &[EncodedEvent]) -> Vec<&str> {
    events.iter().map(|event| std::str::from_utf8(event).unwrap()).collect()
}

#[test]
fn what_is_not_acknowledged_is_sent_again_on_the_next_stream() {
    let (mut spool, place) = spool_of(5, 10);
    assert_eq!(ids(&spool.next_batch(place, 3, usize::MAX, 100).unwrap().1), ["1", "2", "3"]);
    assert_eq!(spool.next_batch(place, 3, usize::MAX, 100).unwrap().0, 4);
    spool.acknowledge(place, 2);
    let place = spool.rewind();
    assert_eq!(place.next_sequence, 3);
    let (first, events) = spool.next_batch(place, 100, usize::MAX, 100).unwrap();
    assert_eq!((first, ids(&events)), (3, vec!["3", "4", "5"]));
    assert_eq!(spool.counts().sent, 8);
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let (mut spool, place) = spool_of(5, 10);
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 2).unwrap().1.len(), 2);
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 2).unwrap().1.len(), 0);
    spool.acknowledge(place, 1);
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 2).unwrap().1.len(), 1);
}

#[test]
fn a_batch_has_a_budget_of_bytes_and_at_least_one_event() {
    let mut spool = Spool::new(WINDOW, 100);
    let sizes = [400, 500, 200, 3_000, 100];
    spool.append(sizes.map(|size| (vec![b'e'; size].into(), Origin::Memory)));
    let place = spool.rewind();
    let mut batches = Vec::new();
    loop {
        let (_, events) = spool.next_batch(place, 100, 1_000, 100).unwrap();
        if events.is_empty() {
            break;
        }
        batches.push(events.iter().map(Bytes::len).collect::<Vec<_>>());
    }
    assert_eq!(batches, [vec![400, 500], vec![200], vec![3_000], vec![100]]);
}

#[test]
fn an_event_is_in_its_own_place_again_after_its_stand_in() {
    let (mut spool, place) = spool_of(3, 10);
    assert_eq!(ids(&spool.next_batch(place, 1, usize::MAX, 1).unwrap().1), ["1"]);
    spool.substitute_oldest(String::new(), |event| [event, b"'".as_slice()].concat().into());
    let place = spool.rewind();
    assert_eq!(ids(&spool.next_batch(place, 9, usize::MAX, 9).unwrap().1), ["1'", "2", "3"]);
    let in_files: Vec<_> = spool.unwritten(1).into_iter().map(|event| event.event).collect();
    assert_eq!(ids(&in_files), ["1"]);
    spool.restore_oldest();
    let place = spool.rewind();
    assert_eq!(ids(&spool.next_batch(place, 9, usize::MAX, 9).unwrap().1), ["1", "2", "3"]);
}

#[test]
fn an_acknowledged_stand_in_is_not_followed_by_its_event() {
    let (mut spool, place) = spool_of(2, 10);
    spool.next_batch(place, 1, usize::MAX, 1).unwrap();
    spool.substitute_oldest(String::new(), |_| event(0));
    let place = spool.rewind();
    spool.next_batch(place, 1, usize::MAX, 1).unwrap();
    spool.acknowledge(place, 1);
    spool.restore_oldest();
    let place = spool.rewind();
    assert_eq!(ids(&spool.next_batch(place, 9, usize::MAX, 9).unwrap().1), ["2"]);
    assert_eq!((spool.counts().acknowledged, spool.pending()), (1, 1));
}

#[test]
fn at_the_limit_the_oldest_go_and_are_counted() {
    let (mut spool, place) = spool_of(7, 5);
    assert_eq!((spool.counts().dropped, spool.pending()), (2, 5));
    let (first, events) = spool.next_batch(place, 100, usize::MAX, 100).unwrap();
    assert_eq!((first, events.len()), (3, 5));
}

#[test]
fn what_is_sent_when_the_limit_is_reached_may_still_be_acknowledged() {
    let (mut spool, place) = spool_of(5, 5);
    assert_eq!(spool.next_batch(place, 2, usize::MAX, 100).unwrap().1.len(), 2);
    spool.append((6..=8).map(|number| (event(number), Origin::Memory)));
    assert_eq!((spool.counts().dropped, spool.pending()), (1, 7));
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 100).unwrap().1.len(), 0, "a gap");
    spool.acknowledge(place, 2);
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 100), Err(Renumbered));
    let place = spool.rewind();
    let (first, events) = spool.next_batch(place, 100, usize::MAX, 100).unwrap();
    assert_eq!((first, ids(&events)), (4, vec!["4", "5", "6", "7", "8"]));
    spool.acknowledge(place, 8);
    assert_eq!((spool.pending(), spool.counts().acknowledged), (0, 7));
}

#[test]
fn an_ack_of_what_was_never_sent_changes_nothing() {
    let (mut spool, place) = spool_of(3, 5);
    spool.acknowledge(place, 99);
    assert_eq!((spool.pending(), spool.counts().acknowledged), (3, 0));
}

#[test]
fn more_than_the_window_holds_follows_in_order() {
    let count = 3 * WINDOW as u64;
    let (mut spool, place) = spool_of(count, usize::MAX);
    let mut expected = 1;
    while spool.pending() > 0 {
        let (first, events) = spool.next_batch(place, 1_000, usize::MAX, usize::MAX).unwrap();
        assert_eq!(first, expected);
        expected += events.len() as u64;
        spool.acknowledge(place, expected - 1);
        spool.load_unwritten();
    }
    assert_eq!(expected, count + 1);
}

#[test]
fn a_stream_from_before_a_log_was_taken_over_has_to_begin_again() {
    let (mut spool, place) = spool_of(3, 10);
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 100).unwrap().1.len(), 3);
    spool.take_over(OnDisk { acknowledged: 10, end: 15, next: 15, pending: 4 }, 0);
    assert_eq!(spool.next_batch(place, 100, usize::MAX, 100), Err(Renumbered));
    spool.acknowledge(place, 3);
    assert_eq!((spool.pending(), spool.to_load()), (7, Some((11, WINDOW))));
    let numbers: Vec<_> = spool.unwritten(9).iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, [15, 16, 17]);
    assert_eq!(spool.rewind().next_sequence, 11);
}
