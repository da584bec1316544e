//! A process seen from outside, through /proc.

use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

/// A line such as `VmRSS:   1234 kB` of /proc/PID/status, in bytes.
pub(super) fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("no {name} in the status of process {pid}")) * 1024
}

/// User and system time of all threads.
pub(super) fn cpu(pid: u32) -> Duration {
    let stat = read(pid, "stat");
    // The command's name, in parentheses, may hold blanks; utime and stime are the 12th and 13th word behind it.
    let words: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: u64 = words.iter().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

pub(super) fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process of our own").count()
}

pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("a running process of our own");
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a running process of our own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_files_and_time() {
        let me = std::process::id();
        assert!(status_bytes(me, "VmRSS") > 100 << 10);
        assert!(open_files(me) >= 3);
        assert!(cpu(me) < Duration::from_secs(3600));
    }
}
