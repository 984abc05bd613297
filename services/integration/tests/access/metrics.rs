//! The admin ports of a process with tokens.

use modash_access::Role;
use modash_test_support::TokensFile;

use crate::system::{System, get};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_ask_for_a_reader_of_everything_and_health_asks_for_nothing() {
    let file = TokensFile::new();
    let scraper = file.add("prometheus", Role::Read);
    let scoped = file.add_scoped("team", &["tag:team=x"]);
    let others = [file.add("proxy", Role::Ingest), file.add("app", Role::Use)];
    let expired = file.add_expired("old", Role::Read);
    let system = System::start(file, &[]).await;
    for service in ["proxy", "gateway", "analytics"] {
        let address = system.admin(service).await;
        for path in ["livez", "readyz"] {
            let (status, ..) = get(&format!("http://{address}/{path}"), None).await;
            assert_eq!(status, 200, "{service} {path}");
        }
        let url = format!("http://{address}/metrics");
        let (status, _, text) = get(&url, Some(&scraper)).await;
        assert_eq!(status, 200, "{service}: {text}");
        assert!(text.contains(&format!("modash_{service}_")), "{service}: {text}");
        for (token, expected) in [
            (None, 401),
            (Some(&expired), 401),
            (Some(&scoped), 403),
            (Some(&others[0]), 403),
            (Some(&others[1]), 403),
        ] {
            let (status, headers, text) = get(&url, token).await;
            assert_eq!(status, expected, "{service}: {text}");
            assert_eq!(headers.contains_key("www-authenticate"), expected == 401, "{service}");
            assert!(!text.contains("modash_gateway_") && !text.contains("# HELP"), "{text}");
        }
    }
}
