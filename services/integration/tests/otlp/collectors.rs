//! Collectors in bad states: they cost spans, which are counted, one line in the log, and
//! no request and no memory.

use std::time::{Duration, Instant};

use modash_integration::{PATIENCE, ProxyAlone, get};
use modash_test_support::{OtlpProtocol, OtlpReceiver, eventually};
use tokio::net::TcpListener;

use super::{chat, exporting, simulator};

/// Requests to each collector; two spans each.
const REQUESTS: u64 = 60;

/// Accepts, and answers nothing or closes.
async fn mute(closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            if !closes {
                held.push(connection);
            }
        }
    });
    format!("http://{address}")
}

/// What `/metrics` says of a metric without labels.
async fn metric(proxy: &ProxyAlone, name: &str) -> Result<u64, String> {
    let page = get(&format!("http://{}/metrics", proxy.admin)).await?;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.and_then(|value| value.parse::<f64>().ok());
    value.map(|value| value as u64).ok_or(page)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_in_any_bad_state_costs_spans_and_no_request() {
    let refusing = OtlpReceiver::refusing(429).await;
    let untrusted = OtlpReceiver::start_tls(OtlpProtocol::Http).await;
    let untrusted_grpc = OtlpReceiver::start_tls(OtlpProtocol::Grpc).await;
    let upstream = simulator().await;
    let dead = "http://127.0.0.1:1".to_owned();
    for (state, endpoint, protocol) in [
        ("dead", dead.clone(), OtlpProtocol::Http),
        ("dead, by gRPC", dead, OtlpProtocol::Grpc),
        ("says 429", refusing.url.clone(), OtlpProtocol::Http),
        ("never answers", mute(false).await, OtlpProtocol::Http),
        ("never answers, by gRPC", mute(false).await, OtlpProtocol::Grpc),
        ("closes", mute(true).await, OtlpProtocol::Http),
        ("has a wrong certificate", untrusted.url.clone(), OtlpProtocol::Http),
        ("has a wrong certificate, by gRPC", untrusted_grpc.url.clone(), OtlpProtocol::Grpc),
    ] {
        let mut settings = exporting(&endpoint, protocol);
        settings.extend([
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8".to_owned()),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4".to_owned()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500".to_owned()),
            ("OTEL_METRICS_EXPORTER", "none".to_owned()),
        ]);
        let proxy = ProxyAlone::start(&upstream, &settings).await;
        assert_eq!(chat(&proxy, &[]).await, 200, "{state}");
        let memory = proxy.memory("VmRSS");
        let begin = Instant::now();
        for _ in 1..REQUESTS {
            assert_eq!(chat(&proxy, &[]).await, 200, "{state}");
        }
        // A wait for the collector's time-out in each would take half a minute.
        assert!(begin.elapsed() < Duration::from_secs(20), "{state}: {:?}", begin.elapsed());
        eventually(PATIENCE, || async {
            let finished = metric(&proxy, "modash_proxy_requests_finished_total").await?;
            let dropped = metric(&proxy, "modash_telemetry_spans_dropped_total").await?;
            let queued = metric(&proxy, "modash_telemetry_spans_queued").await?;
            let exported = metric(&proxy, "modash_telemetry_spans_exported_total").await?;
            assert!(queued <= 8 && exported == 0, "{state}: {queued} {exported}");
            // A batch of four may be on its way.
            if finished == REQUESTS && dropped >= 2 * REQUESTS - 8 - 4 {
                Ok(())
            } else {
                Err(format!("{state}: {finished} requests, {dropped} spans dropped"))
            }
        })
        .await;
        let grown = proxy.memory("VmRSS").saturating_sub(memory);
        assert!(grown < 16 << 20, "{state}: {grown} bytes more");
        let line = "the collector does not take";
        proxy.process.says(line).await;
        let output = proxy.process.output();
        assert_eq!(output.matches(line).count(), 1, "{state}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_authorities_that_cannot_be_read_is_said_at_the_start() {
    let mut settings = exporting("https://127.0.0.1:1", OtlpProtocol::Http);
    settings.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem".to_owned()));
    settings.push(("UPSTREAM_URL", "http://127.0.0.1:1".to_owned()));
    let mut process = modash_integration::Process::start("modash-proxy", &settings, &[]);
    assert_eq!(process.ended().await.code(), Some(1));
    process.says("/nowhere/ca.pem cannot be used").await;
}
