//! Runs the fuzz targets without libFuzzer: mutates the recorded exchanges
//! at random. `mutate <target or all> <seconds> [seed]`; a finding is written
//! to `finding.bin` and the process ends with an error. `mutate seeds <directory>`
//! writes their bodies for libFuzzer to begin with.

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use modash_metering_fuzz::TARGETS;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or(0)
    }
}

/// Bodies of the recorded exchanges that are short enough to be run often.
fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut seeds = Vec::new();
    for folder in std::fs::read_dir(root).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            if let Ok(bytes) = std::fs::read(file.path())
                && bytes.len() < 8192
            {
                seeds.push(bytes);
            }
        }
    }
    // The order of a directory is not fixed; a seed must give the same run.
    seeds.sort();
    seeds
}

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = vec![random.below(256) as u8, random.below(256) as u8];
    input.extend_from_slice(&seeds[random.below(seeds.len())]);
    for _ in 0..random.below(6) {
        let at = random.below(input.len());
        let length = random.below(64).min(input.len() - at);
        match random.below(7) {
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = b"\"\\{}[],: \n\r0-.eEun\x00\x1f\x7f\x80\xff"[random.below(23)],
            2 => drop(input.drain(at..at + length)),
            3 => {
                let copy = input[at..at + length].to_vec();
                input.splice(at..at, copy);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let start = random.below(other.len());
                let end = (start + random.below(300)).min(other.len());
                input.splice(at..at, other[start..end].iter().copied());
            }
            5 => input.truncate(at + 1),
            _ => {
                let words: [&[u8]; 8] = [
                    b"\"usage\":null",
                    b"data: ",
                    b"\r\n",
                    b"\n\n",
                    b"[DONE]",
                    b"\\ud83d",
                    b"1e400",
                    b"\"choices\":[]",
                ];
                input.splice(at..at, words[random.below(words.len())].iter().copied());
            }
        }
        if input.is_empty() {
            input.push(0);
        }
    }
    input
}

/// Each body, with first bytes for pieces of 11 bytes.
fn write_seeds(seeds: &[Vec<u8>], directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (number, body) in seeds.iter().enumerate() {
        std::fs::write(
            directory.join(format!("seed-{number}")),
            [b"\x0a\x0a", &body[..]].concat(),
        )?;
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let wanted = arguments.get(1).map_or("all", String::as_str);
    let seconds = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(60);
    let seed = arguments.get(3).and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let seeds = seeds();
    if let [_, command, directory] = &arguments[..]
        && command == "seeds"
    {
        return match write_seeds(&seeds, directory.as_ref()) {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot write seeds to {directory}: {error}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    for (name, target) in TARGETS.iter().filter(|(name, _)| wanted == "all" || wanted == *name) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let start = Instant::now();
        let mut runs = 0_u64;
        while start.elapsed() < Duration::from_secs(seconds) {
            for _ in 0..100 {
                let input = mutated(&seeds, &mut random);
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
