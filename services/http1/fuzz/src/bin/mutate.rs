//! Runs the fuzz targets without libFuzzer: mutates messages at random.
//! `mutate <target or all> <seconds> [seed]`; a finding is written to `finding.bin`
//! and the process ends with an error. `mutate seeds <directory>` writes the messages
//! for libFuzzer to begin with.

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use modash_http1_fuzz::TARGETS;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or(0)
    }
}

const SEEDS: [&[u8]; 8] = [
    b"POST /v1/x?y=z HTTP/1.1\r\nHost: here\r\nContent-Length: 6\r\nX: y\r\n\r\nabcdef",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a:80\r\nConnection: Upgrade, x\r\nUpgrade: websocket\r\nX: y\r\n\r\n",
    b"\r\nHEAD / HTTP/1.0\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200\r\nServer: x\r\n\r\nuntil close",
    b"5\r\nhello\r\nA;x=\"y z\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: z\r\n\r\n",
];

const WORDS: [&[u8]; 14] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 3\r\n",
    b"Host: b\r\n",
    b"Connection: ",
    b"Content-Length: 3\r\nContent-Length: 3\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffff\r\n",
    b"\r\n ",
    b"TE: trailers\r\n",
    b"Upgrade: h2c\r\n",
    b"HTTP/1.1",
];

const BYTES: &[u8] = b"\r\n :;,=\"\\0123456789abcdefAF\t\x00\x7f\x80\xff-_#*/";

fn mutated(random: &mut Random) -> Vec<u8> {
    let mut input = vec![random.below(256) as u8];
    input.extend_from_slice(SEEDS[random.below(SEEDS.len())]);
    for _ in 0..random.below(6) {
        let at = random.below(input.len());
        let length = random.below(40).min(input.len() - at);
        match random.below(7) {
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = BYTES[random.below(BYTES.len())],
            2 => drop(input.drain(at..at + length)),
            3 => {
                let copy = input[at..at + length].to_vec();
                input.splice(at..at, copy);
            }
            4 => {
                let other = SEEDS[random.below(SEEDS.len())];
                let start = random.below(other.len());
                let end = (start + random.below(80)).min(other.len());
                input.splice(at..at, other[start..end].iter().copied());
            }
            5 => input.truncate(at + 1),
            _ => drop(input.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        }
        if input.is_empty() {
            input.push(0);
        }
    }
    input
}

/// Each message, with a first byte for pieces of 11 bytes.
fn write_seeds(directory: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (number, message) in SEEDS.iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number}")), [b"\x0a", *message].concat())?;
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, directory] = &arguments[..]
        && command == "seeds"
    {
        return match write_seeds(directory.as_ref()) {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot write seeds to {directory}: {error}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    let wanted = arguments.get(1).map_or("all", String::as_str);
    let seconds = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(60);
    let seed = arguments.get(3).and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    for (name, target) in TARGETS.iter().filter(|(name, _)| wanted == "all" || wanted == *name) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let start = Instant::now();
        let mut runs = 0_u64;
        while start.elapsed() < Duration::from_secs(seconds) {
            for _ in 0..100 {
                let input = mutated(&mut random);
                if catch_unwind(|| target(&input)).is_err() {
                    let _ = std::fs::write("finding.bin", &input);
                    eprintln!("{name}: a finding after {runs} runs, in finding.bin");
                    return std::process::ExitCode::FAILURE;
                }
                runs += 1;
            }
        }
        println!("{name}: {runs} runs in {seconds} s, no finding");
    }
    std::process::ExitCode::SUCCESS
}
