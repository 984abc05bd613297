//! What watched processes use of the machine: memory from `/proc`, processor time from
//! their clocks (Linux).

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{time::clock_getcpuclockid, unistd::Pid};
use serde::Serialize;
use tokio::task::JoinHandle;

/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// What processes used, by pid.
pub type Processes = BTreeMap<u32, ProcessUse>;

/// What one process used during the measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ProcessUse {
    /// Processor time in seconds, user and system, over all its threads.
    pub cpu_seconds: f64,
    /// Processor time in microseconds per answered request.
    pub cpu_microseconds_per_request: Option<f64>,
    /// Cores kept busy on average.
    pub cores: f64,
    /// Most resident memory seen, in bytes.
    pub peak_resident_bytes: u64,
    /// Resident memory at the end, in bytes.
    pub resident_bytes: u64,
}

/// Watches processes while a load runs.
#[derive(Debug)]
pub(super) struct Watch {
    begin: BTreeMap<u32, Sample>,
    peaks: Arc<Mutex<BTreeMap<u32, u64>>>,
    sampler: JoinHandle<()>,
}

/// A process at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    cpu: Duration,
    resident_bytes: u64,
}

impl Watch {
    /// Begins; the pid of a process that cannot be watched is the error.
    pub(super) fn start(pids: &[u32]) -> Result<Self, u32> {
        let begin: BTreeMap<u32, Sample> = pids
            .iter()
            .map(|pid| sample(*pid).map(|sample| (*pid, sample)).ok_or(*pid))
            .collect::<Result<_, _>>()?;
        let peaks: Arc<Mutex<BTreeMap<u32, u64>>> = Arc::default();
        let (pids, shared) = (pids.to_vec(), peaks.clone());
        let sampler = tokio::spawn(async move {
            while !pids.is_empty() {
                note_peaks(&pids, &shared);
                tokio::time::sleep(SAMPLE_EVERY).await;
            }
        });
        Ok(Self { begin, peaks, sampler })
    }

    /// Ends; what was used since the start. A process that ended is left out.
    pub(super) async fn stop(self, answered: u64, elapsed: Duration) -> Processes {
        self.sampler.abort();
        // Only aborted tasks are waited for, which end at once.
        let _ = self.sampler.await;
        let pids: Vec<u32> = self.begin.keys().copied().collect();
        note_peaks(&pids, &self.peaks);
        let peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |(pid, begin): (&u32, &Sample)| {
            let end = sample(*pid)?;
            let cpu = end.cpu.saturating_sub(begin.cpu).as_secs_f64();
            Some((
                *pid,
                ProcessUse {
                    cpu_seconds: cpu,
                    cpu_microseconds_per_request: (answered > 0)
                        .then(|| cpu * 1e6 / answered as f64),
                    cores: cpu / elapsed.as_secs_f64().max(1e-9),
                    peak_resident_bytes: peaks.get(pid).copied().unwrap_or(end.resident_bytes),
                    resident_bytes: end.resident_bytes,
                },
            ))
        };
        self.begin.iter().filter_map(used).collect()
    }
}

fn note_peaks(pids: &[u32], peaks: &Mutex<BTreeMap<u32, u64>>) {
    let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
    for pid in pids {
        if let Some(sample) = sample(*pid) {
            let peak = peaks.entry(*pid).or_default();
            *peak = sample.resident_bytes.max(*peak);
        }
    }
}

fn sample(pid: u32) -> Option<Sample> {
    // To the nanosecond, and with threads that have ended; `/proc` counts in steps of
    // 10 ms.
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(Sample {
        cpu: clock.now().ok()?.into(),
        resident_bytes: pages * rustix::param::page_size() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn this_process_can_be_watched_and_a_missing_one_is_named() {
        let own = std::process::id();
        let watch = Watch::start(&[own]).unwrap();
        let used = watch.stop(10, Duration::from_secs(1)).await;
        assert!(used[&own].resident_bytes > 100_000);
        assert!(used[&own].peak_resident_bytes > 100_000);
        assert_eq!(Watch::start(&[u32::MAX]).unwrap_err(), u32::MAX);
    }
}
