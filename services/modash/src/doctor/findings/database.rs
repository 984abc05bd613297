//! The database: reachable, of the right version, usable by its role, and on time.

use modash_analytics::{
    Inside, Inspected, Migrations, OLDEST_POSTGRES, foreign_schema_advice, pooler_advice,
};
use modash_embedded_postgres::{Error, Inspection, State};

use crate::doctor::{
    facts::Database,
    finding::{Area, Finding},
};

/// Clocks that differ by more put requests into the wrong minute.
const CLOCK_LIMIT_SECONDS: f64 = 2.0;

/// Connections that analytics opens at most with its default settings.
const CONNECTIONS: i64 = 16;

/// The setting with the way past a pooler.
const LISTEN: &str = "MODASH_ANALYTICS_LISTEN_DATABASE_URL";

pub(super) fn findings(
    database: &Database,
    listen_database: Option<&(String, Inspected)>,
    read_database: Option<&(String, Inspected)>,
) -> Vec<Finding> {
    let mut findings = match database {
        Database::External { url, inspected } => {
            external(&format!("the database {url}"), "DATABASE_URL", inspected)
        }
        Database::Private { directory, inspection, inside } => {
            let mut findings = private(&directory.display().to_string(), inspection);
            match inside {
                Some(Ok(Inspected::Reached { inside, .. })) => {
                    findings.extend(inside_findings(inside, "DATABASE_URL"));
                }
                Some(Ok(Inspected::Unreachable(why)) | Err(why)) => findings.push(
                    mend(
                        "database.unreachable",
                        format!("the private database does not answer: {why}"),
                    )
                    .why("requests are forwarded, but nothing is recorded or shown")
                    .action(format!(
                        "read {}/postgres.log, or start modash again",
                        directory.display()
                    )),
                ),
                None => {}
            }
            findings
        }
    };
    if let Some((url, inspected)) = listen_database {
        let direct = external(&format!("the database {url}"), LISTEN, inspected);
        findings.extend(direct.into_iter().filter(|found| {
            // The rest is what the other URL shows as well.
            let own = ["database.reached", "database.unreachable", "database.read_only"];
            own.contains(&found.check)
        }));
        findings.extend(pooler(inspected, LISTEN));
    } else {
        if let Database::External { inspected, .. } = database {
            findings.extend(pooler(inspected, "DATABASE_URL"));
        }
        if let Some((_, inspected)) = read_database {
            findings.extend(pooler(inspected, "MODASH_ANALYTICS_READ_DATABASE_URL"));
        }
    }
    if let Some((url, inspected)) = read_database {
        const SETTING: &str = "MODASH_ANALYTICS_READ_DATABASE_URL";
        let replica = external(&format!("the replica {url}"), SETTING, inspected);
        // A replica may be, and usually is, read-only.
        let about_writing = ["database.read_only", "database.schema", "database.permission"];
        findings.extend(replica.into_iter().filter(|found| !about_writing.contains(&found.check)));
    }
    findings
}

fn ok(check: &'static str, what: impl Into<String>) -> Finding {
    Finding::ok(Area::Database, check, what)
}

fn note(check: &'static str, what: impl Into<String>) -> Finding {
    Finding::note(Area::Database, check, what)
}

fn mend(check: &'static str, what: impl Into<String>) -> Finding {
    Finding::mend(Area::Database, check, what)
}

fn external(what: &str, setting: &str, inspected: &Inspected) -> Vec<Finding> {
    let (version, inside) = match inspected {
        Inspected::Unreachable(why) => {
            return vec![
                mend("database.unreachable", format!("{what} cannot be used: {why}"))
                    .why("without it modash does not start; one that runs forwards requests and keeps events until the database is back")
                    .action(format!(
                        "start the database, correct {setting}, or leave it unset: then modash runs a private one"
                    )),
            ];
        }
        Inspected::Reached { version, inside } => (*version, inside),
    };
    let major = version / 10_000;
    let shown = match version {
        0 => "of an unknown version".to_owned(),
        version => format!("{major}.{}", version % 10_000),
    };
    if version != 0 && major < OLDEST_POSTGRES {
        return vec![
            mend("database.version", format!("{what} is PostgreSQL {shown}"))
                .why(format!("modash needs PostgreSQL {OLDEST_POSTGRES} or later and does not start with this one"))
                .action(format!("upgrade the server (pg_upgrade), or set {setting} to another one")),
        ];
    }
    let mut findings = vec![ok("database.reached", format!("{what} answers: PostgreSQL {shown}"))];
    findings.extend(inside_findings(inside, setting));
    findings
}

fn pooler(inspected: &Inspected, setting: &str) -> Option<Finding> {
    let Inspected::Reached { inside, .. } = inspected else { return None };
    let pooled = inside.as_ref().as_ref().is_ok_and(|inside| inside.pooler);
    pooled.then(|| {
        mend(
            "database.pooler",
            format!("{setting} leads to a connection pooler in transaction mode"),
        )
        .why("prepared statements, session settings, locks and notices get lost there")
        .action(pooler_advice(setting))
    })
}

fn private(directory: &str, inspection: &Inspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &inspection.programs {
        Ok(version) => findings.push(ok(
            "database.programs",
            format!("PostgreSQL {version} for the private database"),
        )),
        Err(error) => findings.push(
            mend(
                "database.programs",
                "there are no programs of PostgreSQL for the private database",
            )
            .why("without a database modash does not start")
            .action(error.to_string()),
        ),
    }
    findings.extend(match &inspection.state {
        State::Absent => Some(ok("database.private", format!("the first start makes a private database in {directory}"))),
        State::Ready => Some(ok("database.private", format!("the private database in {directory} can be started"))),
        State::InUse(process) => Some(ok(
            "database.private",
            format!("the private database in {directory} is in use by the modash that runs (process {process})"),
        )),
        State::Refused(error @ Error::OtherVersion { found, available, .. }) => {
            Some(
                mend("database.version", format!("the private database in {directory} was made by PostgreSQL {found}, and the programs are version {available}"))
                    .why("PostgreSQL does not read data of another major version, so modash does not start")
                    .action(error.to_string()),
            )
        }
        State::Refused(error) => Some(
            mend("database.private", format!("the private database in {directory} cannot be started"))
                .why("without a database modash does not start")
                .action(error.to_string()),
        ),
    });
    findings
}

fn inside_findings(inside: &Result<Inside, String>, setting: &str) -> Vec<Finding> {
    let inside = match inside {
        Ok(inside) => inside,
        Err(why) => {
            return vec![
                mend("database.unreadable", format!("the database could not be looked at: {why}"))
                    .why("modash asks the same when it starts")
                    .action(format!("look into the log of the database, or correct {setting}")),
            ];
        }
    };
    let mut findings = Vec::new();
    if inside.read_only {
        findings.push(
            mend("database.read_only", "the database is read-only")
                .why("modash cannot record requests in a replica")
                .action(format!(
                    "set {setting} to the primary; a replica may answer queries by MODASH_ANALYTICS_READ_DATABASE_URL"
                )),
        );
    }
    findings.push(schema(inside));
    findings.extend(permission(inside));
    findings.push(clock(inside));
    findings.extend(connections(inside));
    findings
}

fn schema(inside: &Inside) -> Finding {
    const CHECK: &str = "database.schema";
    match &inside.migrations {
        Migrations::None => ok(CHECK, "the database is empty; the first start makes its tables"),
        Migrations::Current => ok(CHECK, "the schema is up to date"),
        Migrations::Newer => note(CHECK, "a newer modash has upgraded the schema")
            .why("this version works with it as well"),
        Migrations::Missing(versions) => note(CHECK, format!("the next start upgrades the schema ({} to go)", versions.len()))
            .why("modash does that itself; `modash-analytics migrate` does it before"),
        Migrations::Other(1) => mend(CHECK, "the schema cannot be upgraded")
            .why("modash does not start with it")
            .action(foreign_schema_advice()),
        Migrations::Other(version) => mend(CHECK, format!("migration {version} of the database is not that of this modash"))
            .why("modash does not start with it")
            .action("use the modash that made this database, or an empty database"),
        Migrations::Unfinished(version) => mend(CHECK, format!("migration {version} was begun and did not finish"))
            .why("modash does not start until it has")
            .action("look into the log of analytics for the reason, and restore the database from a backup if there is none"),
        Migrations::Unreadable(why) => mend(CHECK, format!("the version of the schema cannot be read: {why}"))
            .why("modash reads it when it starts")
            .action(format!("make the role {} the owner of modash's tables", inside.role)),
    }
}

fn permission(inside: &Inside) -> Option<Finding> {
    const CHECK: &str = "database.permission";
    let role = &inside.role;
    if inside.owns_tables == Some(false) {
        return Some(
            mend(CHECK, format!("the tables do not belong to the role {role}"))
                .why("modash makes and drops partitions every day, which only their owner may")
                .action(format!(
                    "connect as their owner, or hand them over: REASSIGN OWNED BY … TO \"{role}\""
                )),
        );
    }
    if inside.may_create || inside.read_only {
        return None;
    }
    Some(match &inside.schema {
        Some(schema) => mend(CHECK, format!("the role {role} may not create tables in the schema {schema}"))
            .why("modash makes its tables at the first start and partitions every day")
            .action(format!("as an administrator of the database: GRANT CREATE, USAGE ON SCHEMA \"{schema}\" TO \"{role}\"")),
        None => mend(CHECK, format!("the role {role} has no schema to create tables in"))
            .why("modash makes its tables at the first start and partitions every day")
            .action(format!("as an administrator of the database: CREATE SCHEMA \"{role}\" AUTHORIZATION \"{role}\"")),
    })
}

fn clock(inside: &Inside) -> Finding {
    const CHECK: &str = "database.clock";
    let ahead = inside.clock_ahead.num_milliseconds() as f64 / 1000.0;
    let unsure = inside.round_trip.num_milliseconds() as f64 / 2000.0;
    if ahead.abs() <= CLOCK_LIMIT_SECONDS + unsure {
        return ok(CHECK, "the clocks of this machine and of the database agree");
    }
    let (ahead, than) = (ahead.abs(), if ahead > 0.0 { "ahead of" } else { "behind" });
    mend(CHECK, format!("the clock of the database is {ahead:.1} s {than} that of this machine"))
        .why("requests would count in the wrong minute, and their partitions may be missing around midnight")
        .action("have both machines follow the same time servers (NTP): timedatectl set-ntp true")
}

fn connections(inside: &Inside) -> Option<Finding> {
    // A modash that runs has those that it needs.
    let free = inside.most_connections - inside.connections;
    (inside.own_connections == 0 && free < CONNECTIONS).then(|| {
        mend("database.connections", format!("the database has {} of {} connections in use", inside.connections, inside.most_connections))
            .why(format!("modash opens up to {CONNECTIONS}; without them events wait and queries fail"))
            .action("raise max_connections, put a pooler in front of the other clients, or lower MODASH_ANALYTICS_QUERY_CONNECTIONS")
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::doctor::finding::Level;
    use chrono::TimeDelta;

    fn inside(change: impl FnOnce(&mut Inside)) -> Inside {
        let mut inside = Inside {
            role: "modash".to_owned(),
            schema: Some("public".to_owned()),
            read_only: false,
            may_create: true,
            owns_tables: Some(true),
            migrations: Migrations::Current,
            most_connections: 100,
            connections: 3,
            own_connections: 0,
            pooler: false,
            clock_ahead: TimeDelta::zero(),
            round_trip: TimeDelta::milliseconds(1),
        };
        change(&mut inside);
        inside
    }

    fn judged(version: u32, inside: Inside) -> Vec<&'static str> {
        let inspected = Inspected::Reached { version, inside: Box::new(Ok(inside)) };
        let database = Database::External { url: "postgresql://db/modash".to_owned(), inspected };
        bad(&findings(&database, None, None))
    }

    fn bad(findings: &[Finding]) -> Vec<&'static str> {
        let bad = findings.iter().filter(|finding| finding.level == Level::Mend);
        bad.inspect(|finding| assert!(finding.why.is_some() && finding.action.is_some()))
            .map(|finding| finding.check)
            .collect()
    }

    #[test]
    fn a_good_database_has_nothing_to_mend() {
        assert_eq!(judged(180_004, inside(|_| {})), [""; 0]);
        let empty = |inside: &mut Inside| {
            (inside.migrations, inside.owns_tables) = (Migrations::None, None);
        };
        assert_eq!(judged(150_000, inside(empty)), [""; 0]);
        for fine in [Migrations::Newer, Migrations::Missing(vec![2])] {
            assert_eq!(judged(160_000, inside(|inside| inside.migrations = fine)), [""; 0]);
        }
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(judged(140_012, inside(|_| {})), ["database.version"]);
        assert_eq!(
            judged(160_000, inside(|inside| inside.read_only = true)),
            ["database.read_only"]
        );
        for cannot in [
            Migrations::Other(1),
            Migrations::Other(2),
            Migrations::Unfinished(1),
            Migrations::Unreadable("no".into()),
        ] {
            let found = judged(160_000, inside(|inside| inside.migrations = cannot));
            assert_eq!(found, ["database.schema"]);
        }
        let closed = judged(160_000, inside(|inside| inside.may_create = false));
        assert_eq!(closed, ["database.permission"]);
        let foreign = judged(160_000, inside(|inside| inside.owns_tables = Some(false)));
        assert_eq!(foreign, ["database.permission"]);
        let full = judged(160_000, inside(|inside| inside.connections = 95));
        assert_eq!(full, ["database.connections"]);
        for ahead in [-9_000, 9_000] {
            let found = judged(
                160_000,
                inside(|inside| inside.clock_ahead = TimeDelta::milliseconds(ahead)),
            );
            assert_eq!(found, ["database.clock"]);
        }
    }

    #[test]
    fn a_slow_answer_is_no_difference_of_clocks() {
        let slow = |inside: &mut Inside| {
            inside.round_trip = TimeDelta::seconds(9);
            inside.clock_ahead = TimeDelta::seconds(4);
        };
        assert_eq!(judged(160_000, inside(slow)), [""; 0]);
    }

    #[test]
    fn a_replica_may_be_read_only() {
        let look = |read_only| {
            let inside = inside(|inside| inside.read_only = read_only);
            Inspected::Reached { version: 160_000, inside: Box::new(Ok(inside)) }
        };
        let primary =
            Database::External { url: "postgresql://db/a".to_owned(), inspected: look(false) };
        let replica = ("postgresql://replica/a".to_owned(), look(true));
        assert_eq!(bad(&findings(&primary, None, Some(&replica))), [""; 0]);
        let away = ("postgresql://replica/a".to_owned(), Inspected::Unreachable("away".to_owned()));
        assert_eq!(bad(&findings(&primary, None, Some(&away))), ["database.unreachable"]);
    }

    #[test]
    fn a_pooler_in_transaction_mode_needs_a_way_past_it() {
        let look = |pooler| {
            let inside = inside(|inside| inside.pooler = pooler);
            Inspected::Reached { version: 160_000, inside: Box::new(Ok(inside)) }
        };
        let pooled =
            Database::External { url: "postgresql://pooler/a".to_owned(), inspected: look(true) };
        assert_eq!(bad(&findings(&pooled, None, None)), ["database.pooler"]);
        let direct = ("postgresql://db/a".to_owned(), look(false));
        assert_eq!(bad(&findings(&pooled, Some(&direct), None)), [""; 0]);
        let wrong = ("postgresql://pooler/a".to_owned(), look(true));
        assert_eq!(bad(&findings(&pooled, Some(&wrong), None)), ["database.pooler"]);
        let away = ("postgresql://db/a".to_owned(), Inspected::Unreachable("away".to_owned()));
        assert_eq!(bad(&findings(&pooled, Some(&away), None)), ["database.unreachable"]);
    }

    #[test]
    fn a_private_database_of_another_version_says_what_to_do() {
        let error = Error::OtherVersion {
            path: PathBuf::from("/data/cluster"),
            found: "15".to_owned(),
            available: 18,
            binaries: PathBuf::from("/pg18"),
        };
        let inspection =
            Inspection { state: State::Refused(error), programs: Ok("18.4".to_owned()) };
        let directory = PathBuf::from("/data");
        let database = Database::Private { directory, inspection, inside: None };
        let findings = findings(&database, None, None);
        assert_eq!(bad(&findings), ["database.version"]);
        let action = findings.last().and_then(|finding| finding.action.clone()).unwrap();
        assert!(
            action.contains("pg_upgrade") && action.contains("MODASH_POSTGRES_BINARIES"),
            "{action}"
        );
    }
}
