//! How each program is started.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Outcome;

/// One build of modash.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Where its programs are.
    pub(crate) folder: PathBuf,
}

impl Build {
    /// The build that this program belongs to.
    pub(crate) fn own() -> Outcome<Self> {
        Ok(Self { name: "modash", folder: std::env::current_exe()?.with_file_name("") })
    }

    fn program(&self, name: &str) -> Outcome<Command> {
        let path = self.folder.join(name);
        if path.is_file() {
            Ok(Command::new(path))
        } else {
            Err(format!("{} is missing: use `make bench`, which builds it", path.display()).into())
        }
    }

    /// The simulated LLM server.
    pub(crate) fn simulator(&self, listen: SocketAddr) -> Outcome<Command> {
        let mut command = self.program("modash-simulator")?;
        command.args(["serve", "--prebuilt", "--listen", &listen.to_string()]);
        Ok(command)
    }

    /// Analytics with a database.
    pub(crate) fn analytics(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        database: &str,
    ) -> Outcome<Command> {
        let mut command = self.program("modash-analytics")?;
        command
            .env("DATABASE_URL", database)
            .env("MODASH_ANALYTICS_LISTEN", listen.to_string())
            .env("MODASH_ANALYTICS_ADMIN_LISTEN", admin.to_string());
        Ok(command)
    }

    /// The proxy, with its spool in `place`.
    pub(crate) fn proxy(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        upstream: SocketAddr,
        analytics: SocketAddr,
        place: &Path,
    ) -> Outcome<Command> {
        let mut command = self.program("modash-proxy")?;
        command
            .env("PORT", listen.port().to_string())
            .env("UPSTREAM_URL", format!("http://{upstream}"))
            .env("MODASH_PROXY_ADMIN_LISTEN", admin.to_string())
            .env("MODASH_PROXY_ANALYTICS_URL", format!("http://{analytics}"))
            .env("MODASH_PROXY_SPOOL_DIRECTORY", place.join("spool"))
            .env("MODASH_PROXY_REPLICA_ID", format!("bench-{}", listen.port()));
        Ok(command)
    }
}

/// What forwards everything and looks at nothing.
pub(crate) fn bare(listen: SocketAddr, upstream: SocketAddr) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", "--listen", &listen.to_string()]);
    command.args(["--upstream", &upstream.to_string()]);
    Ok(command)
}

/// Whether nginx is installed.
pub(crate) fn has_nginx() -> bool {
    Command::new("nginx").arg("-v").stderr(std::process::Stdio::null()).status().is_ok()
}

/// Directives by which nginx hands streams on as they come.
pub(crate) const UNBUFFERED: &str = "proxy_buffering off; proxy_request_buffering off;";

/// nginx in the foreground, with its files in `place`, further directives of the
/// location, and those for its process.
pub(crate) fn nginx(
    place: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    location: &str,
    process: &str,
) -> Outcome<Command> {
    let file = place.join("nginx.conf");
    let text = nginx_configuration(&place.display().to_string(), upstream, listen, location);
    fs::write(&file, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(place).arg("-c").arg(&file).args(["-g", process]);
    Ok(command)
}

fn nginx_configuration(
    place: &str,
    upstream: SocketAddr,
    listen: SocketAddr,
    location: &str,
) -> String {
    format!(
        "worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;\n\
         worker_rlimit_nofile 65535;\n\
         events {{ worker_connections 20000; }}\n\
         http {{\n\
           access_log {place}/access.log; client_max_body_size 0;\n\
           client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
           fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi;\n\
           scgi_temp_path {place}/scgi; keepalive_requests 1000000000;\n\
           upstream server {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}\n\
           server {{\n\
             listen {listen} backlog=4096;\n\
             location / {{\n\
               proxy_pass http://server; proxy_http_version 1.1;\n\
               proxy_set_header Connection \"\"; {location}\n\
             }}\n\
           }}\n\
         }}\n"
    )
}
