//! Which process listens on a port? Linux says it in `/proc`, to the owner of the process
//! and to root; other systems do not.

use std::{fs, net::SocketAddr, path::Path};

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) process: u32,
    pub(super) name: String,
}

/// The process that listens on this port; `None`: it cannot be told.
pub(super) fn of_port(address: SocketAddr) -> Option<Owner> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let sockets: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| {
            table.lines().skip(1).filter_map(|line| listening_on(line, address.port()))
        })
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let process = numbers.find(|process| has_one_of(*process, &sockets))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?.trim().to_owned();
    Some(Owner { process, name })
}

/// The inode of the socket of a line of `/proc/net/tcp`, if it listens on the port.
fn listening_on(line: &str, port: u16) -> Option<&str> {
    let mut columns = line.split_whitespace();
    let local = columns.nth(1)?;
    let (_, local_port) = local.rsplit_once(':')?;
    let state = columns.nth(1)?;
    let matches = state == LISTENING && u16::from_str_radix(local_port, 16) == Ok(port);
    matches.then(|| columns.nth(5)).flatten()
}

fn has_one_of(process: u32, sockets: &[String]) -> bool {
    let files = fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd"));
    files.into_iter().flatten().flatten().any(|file| {
        fs::read_link(file.path())
            .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "   0: 0100007F:0FA5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5550 1 0000 100 0 0 10 0";
        assert_eq!(listening_on(line, 4005), Some("5550"));
        assert_eq!(listening_on(line, 4006), None);
        assert_eq!(listening_on(&line.replace(" 0A ", " 01 "), 4005), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_owner_of_a_port_is_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = of_port(listener.local_addr().unwrap()).unwrap();
        assert_eq!(owner.process, std::process::id());
        drop(listener);
    }
}
