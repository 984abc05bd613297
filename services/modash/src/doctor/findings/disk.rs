//! Room on disks, and the right to write there.

use modash_analytics::data::bytes;

use crate::doctor::{
    facts::{Disk, Purpose},
    finding::{Area, Finding},
};

/// Less free space than this counts as full: PostgreSQL writes its journal in files of
/// 16 MiB and stops when it cannot.
const FULL: u64 = 256 << 20;

/// Less than this will not last long.
const LOW: u64 = 2 << 30;

pub(super) fn findings(disk: &Disk) -> Vec<Finding> {
    let path = disk.path.display();
    let (check, what, setting) = match disk.purpose {
        Purpose::Data => ("disk.data", "the data directory", "MODASH_DATA_DIRECTORY"),
        Purpose::Spool => {
            ("disk.spool", "the directory of waiting events", "MODASH_PROXY_SPOOL_DIRECTORY")
        }
    };
    if !disk.writable {
        let why = match disk.purpose {
            Purpose::Data => "the private database cannot be started there",
            Purpose::Spool => "events would wait in memory only, and be lost with the process",
        };
        return vec![
            Finding::mend(
                Area::Disk,
                check,
                format!("{what} {path} cannot be written by this user"),
            )
            .why(why)
            .action(format!(
                "give this user the right to write there, or set {setting} to another directory"
            )),
        ];
    }
    let free = match &disk.free {
        Ok(free) => *free,
        Err(why) => {
            return vec![Finding::note(
                Area::Disk,
                check,
                format!("the room in {what} {path} is not known: {why}"),
            )];
        }
    };
    let room = format!("{what} {path} has {} of free disk", bytes(free));
    // A full spool drops the oldest events; a full database stops.
    let full = if disk.purpose == Purpose::Data { FULL } else { FULL / 16 };
    if free < full {
        let why = match disk.purpose {
            Purpose::Data => {
                "PostgreSQL stops on a full disk: nothing is recorded or shown until there is room"
            }
            Purpose::Spool => {
                "events that wait for analytics would be in memory only, and be lost with the process"
            }
        };
        return vec![
            Finding::mend(Area::Disk, check, room)
                .why(why)
                .action(format!(
                    "free some space (`modash data size` says what takes how much, MODASH_ANALYTICS_RETENTION_DAYS keeps less), or set {setting} to another disk"
                )),
        ];
    }
    match disk.most {
        Some(most) if free < most => vec![
            Finding::note(Area::Disk, check, room)
                .why(format!("up to {} may be written there while analytics is away", bytes(most)))
                .action("set MODASH_PROXY_SPOOL_BYTES to less than is free"),
        ],
        None if free < LOW => vec![
            Finding::note(Area::Disk, check, room)
                .why("a million requests take a few hundred megabytes"),
        ],
        _ => vec![Finding::ok(Area::Disk, check, room)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn level(purpose: Purpose, free: u64, most: Option<u64>) -> Level {
        let disk = Disk { purpose, path: "/data".into(), free: Ok(free), writable: true, most };
        findings(&disk)[0].level
    }

    #[test]
    fn a_disk_is_full_low_or_fine() {
        assert_eq!(level(Purpose::Data, 0, None), Level::Mend);
        assert_eq!(level(Purpose::Data, 1 << 30, None), Level::Note);
        assert_eq!(level(Purpose::Data, 1 << 40, None), Level::Ok);
        assert_eq!(level(Purpose::Spool, 0, Some(1 << 30)), Level::Mend);
        assert_eq!(level(Purpose::Spool, 1 << 29, Some(1 << 30)), Level::Note);
        assert_eq!(level(Purpose::Spool, 1 << 31, Some(1 << 30)), Level::Ok);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_to_be_mended() {
        let free = Ok(1 << 40);
        let disk =
            Disk { purpose: Purpose::Spool, path: "/s".into(), free, writable: false, most: None };
        assert_eq!(findings(&disk)[0].level, Level::Mend);
    }
}
