//! What an event costs in CPU, from the request's begin to its acknowledgement:
//! `make bench-event`. A measurement, so it is run on demand and asserts nothing.

use super::{
    wire::{Batch, Request as Message, Say},
    *,
};
use crate::{
    client_key::Fingerprinter,
    exchange::{Ending, Exchange},
};

/// Requests of each turn of the keeper, and turns.
const REQUESTS: usize = 500;
const TURNS: u32 = 400;

/// Adds how long something takes: on a quiet machine its CPU time, as nothing here
/// waits.
fn measured<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    *sum += begun.elapsed();
    result
}

fn small_chat() -> (Exchange, http::HeaderMap) {
    let request = http::Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("authorization", "Bearer sk-of-somebody")
        .header("user-agent", "OpenAI/Python 1.99.0")
        .header("x-session-id", "0193a1f2-0c7e-7f00-8000-000000000001");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let mut answer = http::HeaderMap::new();
    answer.insert("content-type", http::HeaderValue::from_static("application/json"));
    (Exchange::begin(&modash_metering::Head::from(&head), "default".into(), Arc::default()), answer)
}

const QUESTION: &[u8] = br#"{"model":"qwen3-8b","messages":[{"role":"user","content":"Hi"}]}"#;
const ANSWER: &[u8] = br#"{"id":"c-1","model":"qwen3-8b","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;

#[test]
#[ignore = "a measurement: make bench-event"]
fn an_event_from_the_begin_of_its_request_to_its_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogConfig { directory: directory.path().to_owned(), bytes: 1 << 30, fsync: None };
    let journal = Arc::new(JournalFile::create(Some(&log.directory), 1).unwrap());
    let maker = EventMaker::new("replica-1".to_owned(), Fingerprinter::new(Some(b"secret")));
    let maker = Arc::new(maker);
    let shared = Arc::new(Shared::new(journal.of_core(0), maker.clone()));
    let file = journal.clone();
    let config = EmitConfig {
        replica_id: "replica-1".to_owned(),
        upstream_hosts: std::collections::HashMap::new(),
        analytics_token: None,
        analytics: Vec::new(),
        analytics_tls: None,
        events_in_memory: 100_000,
        log: Some(log.clone()),
        journal,
        followers: Followers::default(),
    };
    let emitter = Emitter::new(config, vec![shared.clone()], maker);
    let cores = vec![shared.clone()];
    let mut keeper = Keeper::new(emitter.spool.clone(), Some(log), "replica-1", cores, file);
    keeper.open();
    let (mut on_path, mut kept, mut sent) = Default::default();
    for _ in 0..TURNS {
        let exchanges: Vec<_> = (0..REQUESTS).map(|_| small_chat()).collect();
        let mut running: Vec<_> = measured(&mut on_path, || {
            let begin = |(exchange, answer)| (Running::begin(exchange, shared.clone()), answer);
            exchanges.into_iter().map(begin).collect()
        });
        for (running, answer) in &mut running {
            let exchange = running.exchange();
            exchange.request_data(QUESTION);
            exchange.request_end();
            exchange.response_head(http::StatusCode::OK, answer);
            exchange.response_data(ANSWER);
            exchange.forwarded(ANSWER.len());
        }
        measured(&mut on_path, || {
            running.iter_mut().for_each(|(running, _)| running.end(Ending::Complete));
            drop(running);
        });
        measured(&mut kept, || {
            assert_eq!(keeper.collect().events, REQUESTS);
            keeper.tend();
        });
        measured(&mut sent, || {
            let place = emitter.spool().rewind();
            let (first_sequence, events) =
                emitter.spool().next_batch(place, REQUESTS, usize::MAX, REQUESTS).unwrap();
            assert_eq!(events.len(), REQUESTS);
            let batch = Batch { first_sequence, events, ..Batch::default() };
            let bytes = prost::Message::encode_to_vec(&Message { say: Some(Say::Batch(batch)) });
            assert!(bytes.len() > 100 * REQUESTS);
            emitter.spool().acknowledge(place, first_sequence + REQUESTS as u64 - 1);
        });
    }
    let events = (REQUESTS * TURNS as usize) as f64;
    let micros = |sum: Duration| sum.as_secs_f64() * 1e6 / events;
    println!("CPU of an event in microseconds, {events} events:");
    println!(
        "{:6.2} on the request's thread: slot, table of running requests, event, journal",
        micros(on_path)
    );
    println!("{:6.2} read from the journal and freed", micros(kept));
    println!("{:6.2} sent and acknowledged", micros(sent));
    println!("{:6.2} in all", micros(on_path + kept + sent));
}
