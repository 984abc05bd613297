//! Databases of the wrong version: PostgreSQL's own, and the schema's. What modash says
//! when it does not start is what the doctor says.

use std::path::Path;

use modash_integration::{Process, Services};
use modash_test_support::{Answer, FakeUpstream, TestDatabase};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::run::{Report, data_directory, doctor, modash};

/// Where Debian has the programs of another major version.
const OTHER_PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

async fn look(data: &Path, more: &[(&str, String)]) -> Report {
    let server = FakeUpstream::start().await;
    let models = r#"{"object":"list","data":[{"id":"m","owned_by":"vllm"}]}"#;
    server.answer_always(Answer::json(models));
    let mut settings = vec![("UPSTREAM_URL", server.url())];
    settings.extend_from_slice(more);
    doctor(data, &settings, &[]).await
}

/// Names and times of change of everything below.
fn listing(directory: &Path) -> Vec<(String, i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let metadata = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), metadata.mtime(), metadata.mtime_nsec()));
        if metadata.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_another_postgres_says_what_to_do() {
    let data = data_directory();
    let real = Path::new(OTHER_PROGRAMS).exists();
    if real {
        // Made by PostgreSQL 15, as a modash with an older package did it.
        let other = [("MODASH_POSTGRES_BINARIES", OTHER_PROGRAMS.to_owned())];
        let size = modash(data.path(), &other, &["data", "size"]).await;
        assert!(size.2.contains("no tables of modash yet"), "{size:?}");
    } else {
        let size = modash(data.path(), &[], &["data", "size"]).await;
        assert!(size.2.contains("no tables of modash yet"), "{size:?}");
        std::fs::write(data.path().join("postgres/cluster/PG_VERSION"), "15\n").unwrap();
    }
    let cluster = data.path().join("postgres/cluster");
    let before = listing(&cluster);
    let (code, _, said) =
        modash(data.path(), &[("UPSTREAM_URL", "http://127.0.0.1:1".to_owned())], &[]).await;
    assert_eq!(code, 1, "{said}");
    let parts = [
        "was made by PostgreSQL 15",
        "MODASH_POSTGRES_BINARIES",
        "pg_upgrade",
        "MODASH_DATA_DIRECTORY",
    ];
    for part in parts {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let all_before = listing(data.path());
    let report = look(data.path(), &[]).await;
    assert_eq!(report.levels("mend"), ["database.version"]);
    let finding = report.finding("database.version");
    for part in parts {
        assert!(finding.contains(part), "{part} is missing in {finding}");
    }
    assert!(listing(&cluster) == before, "the start left it as it is");
    assert!(listing(data.path()) == all_before, "the doctor changed something");
    if real {
        // What it says helps.
        let other = [("MODASH_POSTGRES_BINARIES", OTHER_PROGRAMS.to_owned())];
        let report = look(data.path(), &other).await;
        assert_eq!(report.levels("mend"), [""; 0], "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_cannot_be_upgraded_says_what_to_do() {
    let (database, data) = (TestDatabase::create().await, data_directory());
    let setting = || [("DATABASE_URL", database.url())];
    let empty = look(data.path(), &setting()).await;
    assert!(empty.finding("database.schema").contains("is empty"), "{empty:?}");
    Process::start("modash-analytics", &setting(), &["migrate"]).succeeds().await;
    let current = look(data.path(), &setting()).await;
    assert_eq!(current.levels("mend"), [""; 0], "{current:?}");

    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let other = "UPDATE _sqlx_migrations SET checksum = '\\x00'";
    sqlx::query(other).execute(&mut connection).await.unwrap();
    let advice = "export what you need with that version";
    let mut analytics = Services::start_analytics(&database.url(), "127.0.0.1:0");
    assert!(!analytics.ended().await.success());
    analytics.says(advice).await;
    let report = look(data.path(), &setting()).await;
    assert_eq!(report.levels("mend"), ["database.schema"]);
    assert!(report.finding("database.schema").contains(advice), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_gets_the_statement_that_gives_them() {
    let (database, data) = (TestDatabase::create().await, data_directory());
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    for statement in [
        "DROP ROLE IF EXISTS weak",
        "CREATE ROLE weak LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let url = database.url().replacen("//modash@", "//weak@", 1);
    let report = look(data.path(), &[("DATABASE_URL", url)]).await;
    assert_eq!(report.levels("mend"), ["database.permission"], "{report:?}");
    let action = r#"GRANT CREATE, USAGE ON SCHEMA \"public\" TO \"weak\""#;
    assert!(report.finding("database.permission").contains(action), "{report:?}");
}

/// Answers as PostgreSQL 14 does when a client connects, and nothing after that.
async fn postgres_14() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                loop {
                    let length = stream.read_u32().await?;
                    let mut message = vec![0; length as usize - 4];
                    stream.read_exact(&mut message).await?;
                    // Without TLS: "N" for the client that asks for it.
                    if message == 80_877_103_u32.to_be_bytes() {
                        stream.write_all(b"N").await?;
                        continue;
                    }
                    break;
                }
                stream.write_all(b"R\0\0\0\x08\0\0\0\0").await?;
                let parameter = b"server_version\x0014.12\0";
                stream.write_all(b"S").await?;
                stream.write_u32(parameter.len() as u32 + 4).await?;
                stream.write_all(parameter).await?;
                stream.write_all(b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x01Z\0\0\0\x05I").await?;
                let _ = stream.read_u8().await?;
                Ok::<_, std::io::Error>(())
            });
        }
    });
    format!("postgresql://modash@{address}/modash")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused_and_named() {
    let (url, data) = (postgres_14().await, data_directory());
    let report = look(data.path(), &[("DATABASE_URL", url.clone())]).await;
    assert_eq!(report.levels("mend"), ["database.version"]);
    assert!(report.finding("database.version").contains("PostgreSQL 14.12"), "{report:?}");
    let mut analytics = Services::start_analytics(&url, "127.0.0.1:0");
    assert!(!analytics.ended().await.success());
    analytics.says("it is PostgreSQL 14, and modash needs 15 or later").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_run_is_named_without_its_password() {
    let data = data_directory();
    let url = "postgresql://modash:secret@127.0.0.1:1/modash".to_owned();
    let report = look(data.path(), &[("DATABASE_URL", url)]).await;
    assert_eq!(report.levels("mend"), ["database.unreachable"]);
    assert!(!report.json.to_string().contains("secret"), "{report:?}");
    assert!(!report.has("disk.data"), "the private database is not used");
}
