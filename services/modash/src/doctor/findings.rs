//! Facts in, findings out. Nothing here asks anybody.

mod database;
mod disk;
mod ports;
mod system;
mod upstream;

use super::{facts::Facts, finding::Finding};

/// All findings, in the order in which they are shown.
pub(crate) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = upstream::findings(&facts.upstreams, facts.stream_usage);
    findings.extend(database::findings(
        &facts.database,
        facts.listen_database.as_ref(),
        facts.read_database.as_ref(),
    ));
    findings.extend(facts.disks.iter().flat_map(disk::findings));
    findings.extend(ports::findings(&facts.listeners));
    findings.extend(system::tls(&facts.tls));
    findings.push(system::file_limit(facts.file_limit));
    findings.extend(system::proxy_variables(&facts.proxy_variables, &facts.listeners));
    findings.extend(facts.client_tokens.then(system::client_tokens));
    findings
}
