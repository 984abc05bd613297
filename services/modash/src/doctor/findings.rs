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
    findings.extend(database::findings(&facts.database, facts.read_database.as_ref()));
    findings.extend(facts.disks.iter().flat_map(disk::findings));
    findings.extend(ports::findings(&facts.listeners));
    findings.extend(system::tls(&facts.tls));
    findings.push(system::file_limit(facts.file_limit));
    findings.extend(system::proxy_variables(&facts.proxy_variables, &facts.listeners));
    findings
}

/// Bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        let shown = [0, 1023, 1024, 3 << 20, 5 << 40].map(bytes);
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1.0 KiB", "3.0 MiB", "5.0 TiB"]);
    }
}
