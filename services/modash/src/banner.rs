//! What a person reads when everything runs: where it is, and what to try.

use std::{fmt, io::Write as _, net::SocketAddr};

/// Addresses of the running parts.
pub(crate) struct Banner {
    pub(crate) dashboard: SocketAddr,
    pub(crate) dashboard_scheme: &'static str,
    pub(crate) proxy: SocketAddr,
    pub(crate) proxy_scheme: &'static str,
    pub(crate) analytics: SocketAddr,
    /// That of requests that name none.
    pub(crate) upstream: String,
    /// Further ones by name, with their addresses.
    pub(crate) named: Vec<(String, String)>,
    pub(crate) database: String,
    pub(crate) demo: bool,
}

impl Banner {
    /// Writes it to standard output; a closed one is not our problem.
    pub(crate) fn show(&self) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(self.to_string().as_bytes());
        let _ = out.flush();
    }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dashboard = format!("{}://{}", self.dashboard_scheme, reachable(self.dashboard));
        let proxy = format!("{}://{}", self.proxy_scheme, reachable(self.proxy));
        writeln!(f, "\nmodash is ready{}\n", if self.demo { " (demo)" } else { "" })?;
        writeln!(f, "  dashboard  {dashboard}")?;
        writeln!(f, "  proxy      {proxy}  ->  {}", self.upstream)?;
        for (name, url) in &self.named {
            writeln!(f, "             {proxy}/{name}  ->  {url}")?;
        }
        writeln!(f, "  analytics  {} (gRPC with reflection)", reachable(self.analytics))?;
        writeln!(f, "  database   {}\n", self.database)?;
        if self.upstream.starts_with("https://") {
            // Which models it has, and which key opens it, only its user knows.
            return writeln!(
                f,
                "Use the proxy as the base URL of your application; `modash doctor` prints the lines for \
                 Claude Code, Codex and SDKs.\n"
            );
        }
        writeln!(f, "Use the proxy as the base URL of your application, or try it:\n")?;
        writeln!(f, "  curl {proxy}/v1/chat/completions \\")?;
        writeln!(f, "    -H 'content-type: application/json' \\")?;
        writeln!(
            f,
            "    -d '{{\"model\":\"qwen3-8b\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n"
        )
    }
}

/// An address for a browser: not "all addresses", but one of them.
pub(crate) fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner(upstream: &str, named: Vec<(String, String)>) -> String {
        let banner = Banner {
            dashboard: ([127, 0, 0, 1], 4006).into(),
            dashboard_scheme: "http",
            proxy: ([0, 0, 0, 0], 4005).into(),
            proxy_scheme: "https",
            analytics: ([127, 0, 0, 1], 4007).into(),
            upstream: upstream.into(),
            named,
            database: "somewhere".into(),
            demo: false,
        };
        banner.to_string()
    }

    #[test]
    fn the_banner_has_the_addresses_and_a_ready_made_curl_line() {
        let text = banner("http://127.0.0.1:1234", Vec::new());
        assert!(text.contains("dashboard  http://127.0.0.1:4006\n"), "{text}");
        assert!(text.contains("curl https://localhost:4005/v1/chat/completions"), "{text}");
    }
    #[test]
    fn a_provider_has_no_line_that_it_would_refuse_and_named_ones_are_listed() {
        let named = vec![("openai".to_owned(), "https://api.openai.com".to_owned())];
        let text = banner("https://api.anthropic.com", named);
        assert!(!text.contains("curl"), "{text}");
        assert!(
            text.contains("https://localhost:4005/openai  ->  https://api.openai.com"),
            "{text}"
        );
    }
}
